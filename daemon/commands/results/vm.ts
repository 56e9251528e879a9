import { z } from 'zod'
import type { Box } from '../../core/box.ts'
import { stateOf } from '../../core/box.ts'
import { levels } from '../../core/interfaces/governor.ts'
import { sleepsAt } from '../../core/sleep/idle.ts'
import { type VmState, vmStates } from '../../core/vm/state.ts'
import { bytes } from '../../lib/units.ts'
import { priorities, restartPolicies, type Vm } from '../../store/index.ts'
import type { Column } from '../kit/text.ts'
import { diskTotalBytes, ipAddress, memoryBytes, memoryTotalBytes, webAddress } from './measures.ts'

/** A VM as every command answers it. */
export const vmResult = z.object({
  id: z.string(),
  name: z.string(),
  state: z.enum(vmStates),
  /** Why it is in that state, in a word of libvirt's. */
  reason: z.string(),
  image: z.string(),
  address: ipAddress,
  /** Null when this box has no web addresses. */
  web: webAddress.nullable(),
  /** The command that enters it from elsewhere; null when this box has no SSH gateway. */
  ssh: z.string().nullable(),
  /** SSH sessions that it has now by the gateway. */
  sshSessions: z.int(),
  /** Ports that anybody may open at its web address. */
  public: z.array(z.int()),
  mac: z.string(),
  cpus: z.int(),
  memoryMiB: z.int(),
  diskGiB: z.int(),
  priority: z.enum(priorities),
  restart: z.enum(restartPolicies),
  /** Percent of one CPU; null for no limit, as the next two. */
  cpuLimitPercent: z.int().nullable(),
  /** Read and written together. */
  diskLimitBytesPerS: z.int().nullable(),
  /** Each way. */
  netLimitBitsPerS: z.int().nullable(),
  env: z.record(z.string(), z.string()),
  tags: z.array(z.string()),
  comment: z.string(),
  createdAt: z.string(),
})
export type VmResult = z.infer<typeof vmResult>

/** @param reached as `Context` has it */
export function toVmResult(box: Box, vm: Vm, reached?: string): VmResult {
  return {
    id: vm.id,
    name: vm.name,
    state: stateOf(box, vm),
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
    cpuLimitPercent: vm.rates.cpuPercent,
    diskLimitBytesPerS: vm.rates.diskBytesPerS,
    netLimitBitsPerS: vm.rates.netBitsPerS,
    env: vm.env,
    tags: vm.tags,
    comment: vm.comment,
    createdAt: vm.createdAt,
  }
}

/** How many SSH sessions it has, behind what they came by; nothing when there are none. */
export const sessions = ({ sshSessions: count }: Pick<VmResult, 'sshSessions'>): string =>
  count === 0 ? '' : `   ${count === 1 ? '1 session' : `${count} sessions`}`

/** What a VM takes of the box now; nulls while it takes nothing. */
export const usageResult = z.object({
  /** Percent of one CPU. */
  cpuPercent: z.number().nullable(),
  memoryBytes: memoryBytes.nullable(),
  diskBytes: z.number().describe('Disk of the box that goes when the VM is deleted').nullable(),
})
export type UsageResult = z.infer<typeof usageResult>

export const noUsage: UsageResult = { cpuPercent: null, memoryBytes: null, diskBytes: null }

/** By what a VM that is awake is used, or was last, and when that was; and when it goes to sleep if it is left alone. */
export const useResult = z.object({
  use: z.object({ why: z.string(), at: z.string(), now: z.boolean() }).nullable(),
  sleepsAt: z.string().nullable(),
})
export type UseResult = z.infer<typeof useResult>

export function describeUse(box: Box, vm: Vm): UseResult {
  const use = stateOf(box, vm) === 'awake' ? box.usage.of(vm.id) : undefined
  return {
    use: use ? { ...use, at: use.at.toISOString() } : null,
    sleepsAt: sleepsAt(box, vm)?.toISOString() ?? null,
  }
}

/** What Croft does to a VM's memory now, so that there is enough for all, or that it takes so much that others wait, and why. */
export const governedResult = z.object({ what: z.string(), why: z.string() }).nullable()

const none = '–'

/** In these states a disk can be measured, if it is there. */
const hasDisk: readonly VmState[] = ['stopped', 'asleep', 'crashed']

/** Columns of a list of VMs: what each is, and takes. */
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

/** How many of them are in which state. */
export const countStates = (states: readonly VmState[]): Record<VmState, number> =>
  Object.fromEntries(vmStates.map((state) => [state, states.filter((each) => each === state).length])) as Record<
    VmState,
    number
  >

/** `2 awake`, `1 asleep`: how many are in which state, without those in which none is. */
export const counted = (counts: Record<VmState, number>): string[] =>
  vmStates.flatMap((state) => (counts[state] > 0 ? `${counts[state]} ${state}` : []))

/** Percent of the last 10 s in which something waited for it; nulls where the kernel does not tell. */
export const pressureResult = z.object({
  cpu: z.number().nullable(),
  memory: z.number().nullable(),
  io: z.number().nullable(),
})

/** How the box's memory stands, and why. */
export const memoryPressureResult = z.object({ level: z.enum(levels), reason: z.string() })

/** What the machine under the box has and uses now. Bytes, and percent of all CPUs together. */
export const hostUsageResult = z.object({
  cpus: z.int(),
  cpuPercent: z.number(),
  memoryTotalBytes,
  memoryUsedBytes: z.number(),
  /** 0 when there is none. */
  swapTotalBytes: z.number(),
  swapUsedBytes: z.number(),
  diskTotalBytes,
  diskFreeBytes: z.number(),
  /** Of images, and of what several VMs stand on. */
  diskKeptBytes: z.number(),
})
