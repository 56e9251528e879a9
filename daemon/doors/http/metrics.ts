import type { AppContext } from '../../commands/kit/serve.ts'
import { stateOf, vmsOf } from '../../core/box.ts'
import { type Level, levels, type Resource } from '../../core/interfaces/governor.ts'
import type { VmStats } from '../../core/interfaces/hypervisor.ts'
import type { Counters, HostUsage, Pressure, VmUsage } from '../../core/interfaces/metrics.ts'
import { type VmState, vmStates } from '../../core/vm/state.ts'
import type { Vm } from '../../store/index.ts'
import type { Metric, Sample } from './exposition.ts'

/** The measurements behind the metrics, taken on request. */
export interface Found {
  build: { version: string; node: string }
  libvirtAnswers: boolean
  usage: HostUsage
  pressure: Pressure
  /** The memory level of the box. */
  level: Level
  counters: Counters
  vms: readonly (Pick<Vm, 'id' | 'name' | 'tags'> & {
    image: string
    state: VmState
    sshSessions: number
    heavyOn?: Resource | undefined
  })[]
  /** By VM id. */
  vmUsage: ReadonlyMap<string, VmUsage>
  daemon: { cpuSeconds: number; residentBytes: number; startedAtSeconds: number }
}

/** Reads the metrics from the meter, which queries libvirt at most once a second. */
export async function readMetrics({ box, host }: AppContext, version: string): Promise<Metric[]> {
  const [usage, vmUsage, pressure] = await Promise.all([host.usage(), host.vmUsage(), host.pressure()])
  const { user, system } = process.cpuUsage()
  return metricsOf({
    build: { version, node: process.version.slice(1) },
    libvirtAnswers: box.hypervisor.trouble() === undefined,
    usage,
    pressure,
    level: box.governor.now().level,
    counters: await host.counters(),
    vms: vmsOf(box.store.state).map((vm) => ({
      id: vm.id,
      name: vm.name,
      tags: vm.tags,
      image: box.store.state.images[vm.image]?.name ?? vm.image,
      state: stateOf(box, vm),
      sshSessions: box.usage.sessions(vm.id),
      heavyOn: box.governor.heavyOn(vm.id),
    })),
    vmUsage,
    daemon: {
      cpuSeconds: (user + system) / 1e6,
      residentBytes: process.memoryUsage.rss(),
      startedAtSeconds: performance.timeOrigin / 1000,
    },
  })
}

const vmCounters: readonly (readonly [name: string, help: string, of: (stats: VmStats) => number])[] = [
  ['cpu_seconds_total', 'CPU time since its start.', ({ cpuTimeNs }) => cpuTimeNs / 1e9],
  ['network_receive_bytes_total', 'Received since its start.', ({ receivedBytes }) => receivedBytes],
  ['network_transmit_bytes_total', 'Sent since its start.', ({ sentBytes }) => sentBytes],
  ['disk_read_bytes_total', 'Read from its disk since its start.', ({ diskReadBytes }) => diskReadBytes],
  ['disk_written_bytes_total', 'Written to its disk since its start.', ({ diskWrittenBytes }) => diskWrittenBytes],
]

/** Builds the metrics. Their names are stable, because dashboards use them. Pure. */
export function metricsOf({
  build,
  libvirtAnswers,
  usage,
  pressure,
  level,
  counters,
  vms,
  vmUsage,
  daemon,
}: Found): Metric[] {
  const gauge = (name: string, help: string, ...samples: Sample[]): Metric => ({ name, type: 'gauge', help, samples })
  const counter = (name: string, help: string, ...samples: Sample[]): Metric => ({
    name,
    type: 'counter',
    help,
    samples,
  })
  const known = (value: number | null | undefined, labels: Record<string, string>): Sample[] =>
    value === null || value === undefined ? [] : [{ labels, value }]
  const ofVms = (value: (id: string) => number | null | undefined) =>
    vms.flatMap(({ id, name }) => known(value(id), { id, name }))
  const stalls = (['cpu', 'memory', 'io'] as const).flatMap((resource) => {
    const percent = pressure[resource]
    return known(percent === null ? null : percent / 100, { resource })
  })
  return [
    gauge('croft_build_info', 'Versions of Croft and Node.js.', { labels: build, value: 1 }),
    gauge('croft_libvirt_up', 'Whether libvirt answers.', { value: libvirtAnswers ? 1 : 0 }),

    gauge('croft_box_cpus', 'CPUs of the box.', { value: usage.cpus }),
    counter('croft_box_cpu_busy_seconds_total', 'Time that the CPUs of the box were busy, summed over all CPUs.', {
      value: counters.cpuBusySeconds,
    }),
    gauge('croft_box_memory_bytes', 'Memory of the box.', { value: usage.memoryTotalBytes }),
    gauge('croft_box_memory_used_bytes', 'Memory of the box that is not available.', { value: usage.memoryUsedBytes }),
    gauge('croft_box_memory_shared_bytes', 'The part of it that VMs share, counted once and in no VM.', {
      value: usage.memorySharedBytes,
    }),
    gauge('croft_box_swap_bytes', 'Swap of the box, all kinds together.', { value: usage.swapTotalBytes }),
    gauge('croft_box_swap_used_bytes', 'Swap of the box in use.', { value: usage.swapUsedBytes }),
    gauge('croft_box_disk_bytes', 'Size of the file system with the VMs.', { value: usage.diskTotalBytes }),
    gauge('croft_box_disk_free_bytes', 'Free space on the file system with the VMs.', { value: usage.diskFreeBytes }),
    gauge('croft_box_disk_kept_bytes', 'Disk used by images and by layers that several VMs share.', {
      value: usage.diskKeptBytes,
    }),
    gauge(
      'croft_box_pressure_ratio',
      'Share of the last 10 s in which something waited for a CPU, memory or the disk (PSI, some avg10).',
      ...stalls,
    ),
    gauge(
      'croft_box_memory_level',
      'Memory level of the box: 1 for the current level.',
      ...levels.map((each) => ({ labels: { level: each }, value: each === level ? 1 : 0 })),
    ),

    gauge(
      'croft_vms',
      'VMs by state.',
      ...vmStates.map((state) => ({ labels: { state }, value: vms.filter((vm) => vm.state === state).length })),
    ),
    gauge(
      'croft_vm_info',
      'Name, image and tags of a VM.',
      ...vms.map(({ id, name, image, tags }) => ({ labels: { id, name, image, tags: tags.join(',') }, value: 1 })),
    ),
    gauge(
      'croft_vm_memory_resident_bytes',
      'Memory of the box that a running VM takes.',
      ...ofVms((id) => vmUsage.get(id)?.memoryBytes),
    ),
    gauge(
      'croft_vm_memory_balloon_bytes',
      'Memory that the balloon leaves a running VM: less than all while the governor holds it down.',
      ...ofVms((id) => counters.vms.get(id)?.balloon?.bytes),
    ),
    gauge(
      'croft_vm_disk_bytes',
      'Disk of the box that deleting the VM frees.',
      ...ofVms((id) => vmUsage.get(id)?.diskBytes),
    ),
    gauge(
      'croft_vm_ssh_sessions',
      'SSH sessions in a VM through the gateway.',
      ...vms.map(({ id, name, sshSessions }) => ({ labels: { id, name }, value: sshSessions })),
    ),
    gauge(
      'croft_vm_heavy',
      '1 for a VM that takes so much of a resource that others wait for it, or may have to; as `croft top` names it.',
      ...vms.flatMap(({ id, name, heavyOn }) =>
        heavyOn === undefined ? [] : [{ labels: { id, name, resource: heavyOn }, value: 1 }],
      ),
    ),
    ...vmCounters.map(([name, help, of]) =>
      counter(
        `croft_vm_${name}`,
        help,
        ...ofVms((id) => {
          const stats = counters.vms.get(id)
          return stats && of(stats)
        }),
      ),
    ),

    counter('process_cpu_seconds_total', 'CPU time of the daemon.', { value: daemon.cpuSeconds }),
    gauge('process_resident_memory_bytes', 'Resident memory of the daemon.', { value: daemon.residentBytes }),
    gauge('process_start_time_seconds', 'When the daemon started, in seconds since 1970.', {
      value: daemon.startedAtSeconds,
    }),
  ]
}
