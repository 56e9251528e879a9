import { z } from 'zod'
import { dueSoon } from '../../core/appointment/inquire.ts'
import type { Box } from '../../core/box.ts'
import { stateOf } from '../../core/box.ts'
import { levels } from '../../core/interfaces/governor.ts'
import { sleepsAt } from '../../core/sleep/idle.ts'
import { isResting, isUp, type VmState, vmStates } from '../../core/vm/state.ts'
import { bytes } from '../../lib/text/units.ts'
import { priorities, restartPolicies, type Vm } from '../../store/index.ts'
import type { Column } from '../kit/text.ts'
import { diskTotalBytes, ipAddress, memoryBytes, memoryTotalBytes, webAddress } from './measures.ts'

/** A VM, as all commands return it. */
export const vmResult = z.object({
  id: z.string(),
  name: z.string(),
  state: z.enum(vmStates),
  /** Why it is in that state, as libvirt reports it. */
  reason: z.string(),
  image: z.string(),
  address: ipAddress,
  /** Null when this box has no web addresses. */
  web: webAddress.nullable(),
  /** The command that enters it from another machine; null when this box has no SSH gateway. */
  ssh: z.string().nullable(),
  /** Number of SSH sessions in it through the gateway. */
  sshSessions: z.int(),
  /** Ports that anybody can open at its web address. */
  public: z.array(z.int()),
  mac: z.string(),
  cpus: z.int(),
  memoryMiB: z.int(),
  diskGiB: z.int(),
  priority: z.enum(priorities),
  restart: z.enum(restartPolicies),
  /** When it is woken or goes on, and for what; null for nothing, and while it is awake. */
  wakesAt: z.string().nullable(),
  wakesFor: z.string().nullable(),
  /** Whether its timers and cron jobs wake it. */
  keepsAppointments: z.boolean(),
  /** Percent of one CPU; null for no limit, as for the next two. */
  cpuLimitPercent: z.int().nullable(),
  /** Reads and writes together. */
  diskLimitBytesPerS: z.int().nullable(),
  /** In each direction. */
  netLimitBitsPerS: z.int().nullable(),
  env: z.record(z.string(), z.string()),
  tags: z.array(z.string()),
  comment: z.string(),
  createdAt: z.string(),
})
export type VmResult = z.infer<typeof vmResult>

/** @param reached as in `Context` */
export function toVmResult(box: Box, vm: Vm, reached?: string): VmResult {
  const state = stateOf(box, vm)
  const appointment = isResting(state) ? vm.appointment : null
  return {
    id: vm.id,
    name: vm.name,
    state,
    reason: box.live.get(vm.uuid)?.reason ?? '',
    image: box.store.state.images[vm.image]?.name ?? vm.image,
    address: vm.ip,
    web: box.webAddress(vm),
    ssh: box.ssh && `ssh -p ${box.ssh.port} ${vm.name}@${box.ssh.host(reached)}`,
    sshSessions: box.usage.sessions(vm.id),
    public: vm.web.public,
    mac: vm.mac,
    cpus: vm.limits.cpus,
    memoryMiB: vm.limits.memoryMiB,
    diskGiB: vm.limits.diskGiB,
    priority: vm.priority,
    restart: vm.restart,
    wakesAt: appointment?.at ?? null,
    wakesFor: appointment?.what ?? null,
    keepsAppointments: vm.keepsAppointments,
    cpuLimitPercent: vm.rates.cpuPercent,
    diskLimitBytesPerS: vm.rates.diskBytesPerS,
    netLimitBitsPerS: vm.rates.netBitsPerS,
    env: vm.env,
    tags: vm.tags,
    comment: vm.comment,
    createdAt: vm.createdAt,
  }
}

/** Formats the number of SSH sessions, to follow the `ssh` command; empty when there are none. */
export const sessions = ({ sshSessions: count }: Pick<VmResult, 'sshSessions'>): string =>
  count === 0 ? '' : `   ${count === 1 ? '1 session' : `${count} sessions`}`

/** What a VM uses of the box now; nulls while it uses nothing. */
export const usageResult = z.object({
  /** Percent of one CPU. */
  cpuPercent: z.number().nullable(),
  memoryBytes: memoryBytes.nullable(),
  diskBytes: z.number().describe('Disk of the box that deleting the VM frees').nullable(),
})
export type UsageResult = z.infer<typeof usageResult>

export const noUsage: UsageResult = { cpuPercent: null, memoryBytes: null, diskBytes: null }

/**
 * What uses a VM that is awake or dozes now, or used it last, and when; and when it goes to sleep if nothing else uses it.
 */
export const useResult = z.object({
  use: z.object({ why: z.string(), at: z.string(), now: z.boolean() }).nullable(),
  sleepsAt: z.string().nullable(),
  /** What was due so soon that it is not put to rest now for being idle; null for nothing. */
  dueSoon: z.object({ at: z.string(), what: z.string() }).nullable(),
})
export type UseResult = z.infer<typeof useResult>

export function describeUse(box: Box, vm: Vm): UseResult {
  const use = isUp(stateOf(box, vm)) ? box.usage.of(vm.id) : undefined
  return {
    use: use ? { ...use, at: use.at.toISOString() } : null,
    sleepsAt: sleepsAt(box, vm)?.toISOString() ?? null,
    dueSoon: dueSoon(box, vm),
  }
}

/** What the governor does with a VM's memory now, or that the VM takes so much that others wait; and why. */
export const governedResult = z.object({ what: z.string(), why: z.string() }).nullable()

const none = '–'

/** States in which the disk can be measured, if it exists. */
const hasDisk: readonly VmState[] = ['stopped', 'asleep', 'crashed']

/** Columns of a list of VMs: name, state and usage. */
export const vmColumns: readonly Column<Pick<VmResult, 'name' | 'state'> & UsageResult>[] = [
  { title: 'NAME', value: ({ name }) => name, dress: () => 'bold' },
  {
    title: 'STATE',
    value: ({ state }) => state,
    dress: ({ state }) =>
      state === 'awake' ? 'green' : state === 'crashed' ? 'red' : state === 'stopped' ? 'dim' : 'amber',
  },
  {
    title: 'CPU',
    value: ({ cpuPercent }) => (cpuPercent === null ? none : `${Math.round(cpuPercent)} %`),
    right: true,
    least: 5,
  },
  { title: 'MEMORY', value: ({ memoryBytes }) => (memoryBytes === null ? none : bytes(memoryBytes)), right: true },
  {
    title: 'DISK',
    value: ({ state, diskBytes }) => (diskBytes !== null ? bytes(diskBytes) : hasDisk.includes(state) ? 'gone' : none),
    right: true,
  },
]

/** Counts the VMs in each state. */
export const countStates = (states: readonly VmState[]): Record<VmState, number> =>
  Object.fromEntries(vmStates.map((state) => [state, states.filter((each) => each === state).length])) as Record<
    VmState,
    number
  >

/** Formats the counts that are not zero: `2 awake`, `1 asleep`. */
export const counted = (counts: Record<VmState, number>): string[] =>
  vmStates.flatMap((state) => (counts[state] > 0 ? `${counts[state]} ${state}` : []))

/** Percent of the last 10 s in which something waited for the resource; null where the kernel does not report it. */
export const pressureResult = z.object({
  cpu: z.number().nullable(),
  memory: z.number().nullable(),
  io: z.number().nullable(),
})

/** The memory level of the box, and why. */
export const memoryPressureResult = z.object({ level: z.enum(levels), reason: z.string() })

/** What the machine has and uses now. Bytes, and percent of all CPUs together. */
export const hostUsageResult = z.object({
  cpus: z.int(),
  cpuPercent: z.number(),
  memoryTotalBytes,
  memoryUsedBytes: z.number(),
  /** The part of it that VMs share: each page is counted once, and in no VM. */
  memorySharedBytes: z.number(),
  /** 0 when there is none. */
  swapTotalBytes: z.number(),
  swapUsedBytes: z.number(),
  diskTotalBytes,
  diskFreeBytes: z.number(),
  /** Used by images and by layers that several VMs share. */
  diskKeptBytes: z.number(),
})

/** Says what of the box's memory VMs share; undefined when they share none. Pure. */
export const sharedOf = ({ memorySharedBytes }: Pick<z.infer<typeof hostUsageResult>, 'memorySharedBytes'>) =>
  memorySharedBytes > 0 ? `${bytes(memorySharedBytes)} of it, by VMs` : undefined
