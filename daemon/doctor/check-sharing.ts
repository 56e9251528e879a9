import { readdir, readFile, realpath, stat } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import type { Box, ShareKind } from '../core/box.ts'
import type { Check } from '../core/interfaces/check.ts'
import { unsupported } from '../core/vm/qos.ts'
import { runProgram } from '../lib/process/run.ts'

/** The means by which the box's kernel shares out CPUs, disk and network. */
export interface SharingFacts {
  cpuCgroups: 0 | 1 | 2
  /** The disks that hold the state folder: the I/O scheduler of each, and whether it works by cost (io.cost). */
  disks: readonly { name: string; scheduler: string; byCost: boolean }[]
  /** The interface of the default route, and the kinds of its queueing disciplines. */
  uplink: { name: string; queues: readonly string[] } | undefined
}

/** Checks how CPUs, disk and network are shared on this box. @param folder the state folder */
export async function checkSharing(box: Box, folder: string): Promise<Check> {
  const [disks, uplink] = await Promise.all([disksOf(folder).catch(() => []), findUplink().catch(() => undefined)])
  return sharingCheck({ cpuCgroups: box.settings.cpuCgroups, disks, uplink }, unsupported(box))
}

/** Queueing disciplines that serve all connections in turn. */
const fairQueues = ['fq_codel', 'fq', 'cake', 'fq_pie', 'sfq']

/**
 * Puts the facts into one line. A missing feature is not a fault, unless a limit can't be enforced without it. Pure.
 */
export function sharingCheck(
  { cpuCgroups, disks, uplink }: SharingFacts,
  unshared: ReadonlyMap<ShareKind, { vm: string; why: string }>,
): Check {
  const what = 'sharing'
  const byPriority = disks.length > 0 && disks.every(({ scheduler, byCost }) => scheduler === 'bfq' || byCost)
  const diskNames = disks.map(({ name, scheduler }) => `${name}: ${scheduler}`).join(', ') || 'unknown disk'
  const isFair = uplink?.queues.some((kind) => fairQueues.includes(kind))
  const queues = uplink && `${uplink.name}: ${[...new Set(uplink.queues)].join(', ')}`
  const says = [
    cpuCgroups === 0 ? 'CPUs without priorities or limits' : 'CPUs by priority',
    byPriority ? `disk by priority (${diskNames})` : `disk without priorities (${diskNames})`,
    isFair ? `network in turn (${queues})` : `network first come, first served (${queues ?? 'no uplink found'})`,
  ].join('; ')
  const lost = [...unshared].find(([kind]) => kind === 'cpuPercent' || kind === 'diskBytesPerS')
  if (lost) {
    const [, { vm, why }] = lost
    return {
      what,
      state: 'look',
      says: `the limits of ${vm} are not enforced: ${why}`,
      advice: `Shared here: ${says}.`,
    }
  }
  if (cpuCgroups === 0 || unshared.has('cpuWeight')) {
    const why = unshared.get('cpuWeight')?.why
    const advice = 'VMs still run. Debian has cgroups by default since version 11.'
    return {
      what,
      state: 'look',
      says: why && cpuCgroups !== 0 ? `${says}; CPU priorities fail: ${why}` : says,
      advice,
    }
  }
  const help = [
    ...(byPriority ? [] : disks.map(({ name }) => `echo bfq > /sys/block/${name}/queue/scheduler`)),
    ...(isFair || !uplink ? [] : [`tc qdisc replace dev ${uplink.name} root fq_codel`]),
  ]
  const advice = `Good enough. If VMs still slow each other down: ${help.join('; ')}`
  return { what, state: 'fine', says, ...(help.length > 0 && { advice }) }
}

/** Returns the disks beneath a folder; none when its file system does not tell. */
async function disksOf(folder: string): Promise<SharingFacts['disks']> {
  const { dev } = await stat(folder)
  // makedev(3)
  const [major, minor] = [(dev >> 8) & 0xfff, (dev & 0xff) | ((dev >> 12) & 0xfff00)]
  const costs = await readFile('/sys/fs/cgroup/io.cost.qos', 'utf8').catch(() => '')
  const found = await disksBeneath(await realpath(`/sys/dev/block/${major}:${minor}`))
  return Promise.all(
    found.map(async (path) => {
      const scheduler = /\[([^\]]+)\]/.exec(await readFile(`${path}/queue/scheduler`, 'utf8'))?.[1] ?? 'none'
      const number = (await readFile(`${path}/dev`, 'utf8')).trim()
      return { name: basename(path), scheduler, byCost: new RegExp(`^${number} enable=1\\b`, 'm').test(costs) }
    }),
  )
}

/** Returns the whole disks beneath a block device of sysfs, which may be a partition, RAID, LVM or encrypted. */
async function disksBeneath(path: string): Promise<string[]> {
  const isPartition = await stat(`${path}/partition`).then(
    () => true,
    () => false,
  )
  if (isPartition) return disksBeneath(dirname(path))
  const beneath = await readdir(`${path}/slaves`).catch(() => [])
  if (beneath.length === 0) return [path]
  const disks = await Promise.all(beneath.map(async (name) => disksBeneath(await realpath(`${path}/slaves/${name}`))))
  return [...new Set(disks.flat())]
}

async function findUplink(): Promise<SharingFacts['uplink']> {
  const routes = JSON.parse((await runProgram('ip', ['-json', '-4', 'route', 'show', 'default'])).stdout) as {
    dev?: string
  }[]
  const name = routes[0]?.dev
  if (name === undefined) return undefined
  const queues = JSON.parse((await runProgram('tc', ['-json', 'qdisc', 'show', 'dev', name])).stdout) as {
    kind: string
  }[]
  return { name, queues: queues.map(({ kind }) => kind) }
}
