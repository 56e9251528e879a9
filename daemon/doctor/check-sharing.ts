import { readdir, readFile, realpath, stat } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import type { Box, ShareKind } from '../core/box.ts'
import type { Check } from '../core/interfaces/check.ts'
import { unsupported } from '../core/vm/qos.ts'
import { runProgram } from '../lib/run.ts'

/** By what the box's kernel shares out CPUs, disk and network. */
export interface SharingFacts {
  cpuCgroups: 0 | 1 | 2
  /** The disks that the state folder is on: how each orders what is asked of it, and whether it goes by cost (io.cost). */
  disks: readonly { name: string; scheduler: string; byCost: boolean }[]
  /** The interface that leads outside, and the kinds of its queues. */
  uplink: { name: string; queues: readonly string[] } | undefined
}

/** Looks how CPUs, disk and network are shared here. @param folder the state folder */
export async function checkSharing(box: Box, folder: string): Promise<Check> {
  const [disks, uplink] = await Promise.all([disksOf(folder).catch(() => []), findUplink().catch(() => undefined)])
  return sharingCheck({ cpuCgroups: box.settings.cpuCgroups, disks, uplink }, unsupported(box))
}

/** Queues that serve each connection in its turn. */
const fairQueues = ['fq_codel', 'fq', 'cake', 'fq_pie', 'sfq']

/** One line of it. What a box goes without is no fault of it, but for a limit that does not hold. Pure. */
export function sharingCheck(
  { cpuCgroups, disks, uplink }: SharingFacts,
  unshared: ReadonlyMap<ShareKind, { vm: string; why: string }>,
): Check {
  const what = 'sharing'
  const byPriority = disks.length > 0 && disks.every(({ scheduler, byCost }) => scheduler === 'bfq' || byCost)
  const diskNames = disks.map(({ name, scheduler }) => `${name}: ${scheduler}`).join(', ') || 'not known which'
  const isFair = uplink?.queues.some((kind) => fairQueues.includes(kind))
  const queues = uplink && `${uplink.name}: ${[...new Set(uplink.queues)].join(', ')}`
  const says = [
    cpuCgroups === 0 ? 'CPUs by the kernel alone, without priorities and limits' : 'CPUs by priority',
    byPriority ? `disk by priority (${diskNames})` : `disk as VMs ask for it (${diskNames})`,
    isFair ? `network in turn (${queues})` : `network as it comes (${queues ?? 'no way outside'})`,
  ].join('; ')
  const lost = [...unshared].find(([kind]) => kind === 'cpuPercent' || kind === 'diskBytesPerS')
  if (lost) {
    const [, { vm, why }] = lost
    return { what, state: 'look', says: `${vm} is not held to its limits: ${why}`, advice: `Shared are ${says}.` }
  }
  if (cpuCgroups === 0 || unshared.has('cpuWeight')) {
    const why = unshared.get('cpuWeight')?.why
    const advice = 'VMs run all the same. A Debian from version 11 on has cgroups by itself.'
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

/** The disks beneath a folder; none when its file system does not say. */
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

/** The whole disks beneath a block device of sysfs: beneath a partition, RAID, LVM or encryption. */
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
