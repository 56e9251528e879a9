import { z } from 'zod'
import type { Box } from '../box/box.ts'
import { stateOf } from '../box/box.ts'
import { vmStates } from '../box/state.ts'
import { priorities, type Vm } from '../store/index.ts'

/** A VM as every command answers it. */
export const vmResult = z.object({
  id: z.string(),
  name: z.string(),
  state: z.enum(vmStates),
  /** Why it is in that state, in a word of libvirt's. */
  reason: z.string(),
  image: z.string(),
  address: z.string(),
  /** Where it is opened by the web; null when this box has no web addresses. */
  web: z.string().nullable(),
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
  env: z.record(z.string(), z.string()),
  tags: z.array(z.string()),
  comment: z.string(),
  createdAt: z.string(),
})
export type VmResult = z.infer<typeof vmResult>

export function describeVm(box: Box, vm: Vm): VmResult {
  return {
    id: vm.id,
    name: vm.name,
    state: stateOf(box, vm),
    reason: box.live.get(vm.uuid)?.reason ?? '',
    image: box.store.state.images[vm.image]?.name ?? vm.image,
    address: vm.ip,
    web: box.webAddress(vm),
    ssh: box.ssh && `ssh -p ${box.ssh.port} ${vm.name}@${box.ssh.host()}`,
    sshSessions: box.uses.sessions(vm.id),
    public: vm.web.public,
    mac: vm.mac,
    cpus: vm.limits.cpus,
    memoryMiB: vm.limits.memoryMiB,
    diskGiB: vm.limits.diskGiB,
    priority: vm.priority,
    env: vm.env,
    tags: vm.tags,
    comment: vm.comment,
    createdAt: vm.createdAt,
  }
}

/** Whether anybody may open something of it, in a word or two. */
export function sharing({ public: open }: Pick<VmResult, 'public'>): string {
  return open.length === 0 ? 'private' : open.length === 1 ? 'public' : `public: ${open.join(', ')}`
}

/** How many SSH sessions it has, behind what they came by; nothing when there are none. */
export const sessions = ({ sshSessions: count }: Pick<VmResult, 'sshSessions'>): string =>
  count === 0 ? '' : `   ${count === 1 ? '1 session' : `${count} sessions`}`

/** What a VM takes of the box now; nulls while it takes nothing. */
export const usageResult = z.object({
  /** Percent of one CPU. */
  cpuPercent: z.number().nullable(),
  memoryBytes: z.number().nullable(),
  diskBytes: z.number().nullable(),
})
export type UsageResult = z.infer<typeof usageResult>

/** What the machine under the box has and uses now. Bytes, and percent of all CPUs together. */
export const hostUsageResult = z.object({
  cpus: z.int(),
  cpuPercent: z.number(),
  memoryBytes: z.number(),
  memoryUsedBytes: z.number(),
  diskBytes: z.number(),
  diskFreeBytes: z.number(),
  /** Of images, checkpoints and saved memory. */
  diskKeptBytes: z.number(),
})
