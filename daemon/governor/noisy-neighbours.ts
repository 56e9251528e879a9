import type { Resource } from '../core/interfaces/governor.ts'
import type { VmStats } from '../core/interfaces/hypervisor.ts'
import type { Pressure } from '../core/interfaces/metrics.ts'
import { bytes } from '../lib/text/units.ts'

/** The size of the box and the pressure on it, in percent of the time. */
export interface BoxLoad {
  cpus: number
  memoryBytes: number
  /** Whether the box has little memory left. */
  isTight: boolean
  pressure: Pressure
}

/** How much of the box a VM uses. */
export interface Rate {
  id: string
  cpus: number
  /** CPUs that the VM's vCPUs used, plus those that they waited for. */
  wantedCpus: number
  memoryBytes: number
  diskBytesPerS: number
  sentBytesPerS: number
  sentPacketsPerS: number
}

export interface NoisyNeighbour {
  resource: Resource
  what: string
  why: string
}

/** The pressure from which others count as waiting, in percent of the last 10 s. */
const waits = { cpu: 20, io: 20 }
/**
 * The least usage of a noisy neighbour: `cpus` and `memory` as parts of the box, `ofAll` as a part of all VMs' usage,
 * the rest in bytes and packets per second.
 */
const parts = { cpus: 0.4, memory: 0.1, ofAll: 0.5 }
const least = { diskBytes: 10 ** 6, sentBytes: 50 * 10 ** 6, sentPackets: 10_000 }

/** Returns the VMs that use so much of the box that others wait or may soon have to: by id, one reason each. Pure. */
export function noisyNeighbours(
  { cpus, memoryBytes, isTight, pressure }: BoxLoad,
  rates: readonly Rate[],
): Map<string, NoisyNeighbour> {
  const all = (of: (rate: Rate) => number) => rates.reduce((sum, rate) => sum + of(rate), 0)
  const mostOf = (of: (rate: Rate) => number, rate: Rate, floor: number) =>
    of(rate) >= floor && of(rate) > all(of) * parts.ofAll
  const wait = (percent: number, what: string) => `others wait for ${what} ${Math.round(percent)} % of the time`
  const found = new Map<string, NoisyNeighbour>()
  const name = (rate: Rate, resource: Resource, what: string, why: string) => {
    if (!found.has(rate.id)) found.set(rate.id, { resource, what, why })
  }
  for (const rate of rates) {
    if (isTight && mostOf((each) => each.memoryBytes, rate, memoryBytes * parts.memory))
      name(rate, 'memory', `has ${bytes(rate.memoryBytes)} of memory`, 'the box has little left')
    if ((pressure.io ?? 0) >= waits.io && mostOf((each) => each.diskBytesPerS, rate, least.diskBytes))
      name(rate, 'disk', `reads and writes ${bytes(rate.diskBytesPerS)} a second`, wait(pressure.io!, 'the disk'))
    if (mostOf((each) => each.sentPacketsPerS, rate, least.sentPackets))
      name(
        rate,
        'network',
        `sends ${Math.round(rate.sentPacketsPerS)} packets a second`,
        'that is more than all others together',
      )
    if (mostOf((each) => each.sentBytesPerS, rate, least.sentBytes))
      name(rate, 'network', `sends ${bytes(rate.sentBytesPerS)} a second`, 'that is more than all others together')
    if ((pressure.cpu ?? 0) >= waits.cpu && rate.cpus >= cpus * parts.cpus)
      name(rate, 'cpu', `takes ${rate.cpus.toFixed(1)} of ${cpus} CPUs`, wait(pressure.cpu!, 'a CPU'))
  }
  return found
}

/** A VM becomes busy when it wants at least `from` CPUs, and stays busy until it wants fewer than `until`. */
const busy = { from: 0.7, until: 0.4 }

/**
 * Tells whether a VM is busy, so that VMs that need little CPU time take precedence: typing, or loading a page, should
 * not wait for a computation in another VM. Considers the CPU time that the VM wants, not what it gets: otherwise a VM
 * would stop being busy as soon as it was held back. Pure.
 * @param before whether the VM was busy
 */
export const isBusy = (wantedCpus: number, before: boolean): boolean => wantedCpus >= (before ? busy.until : busy.from)

/** Returns a VM's usage between two measurements. Pure. @param seconds time between the measurements */
export function rateOf(id: string, before: VmStats, now: VmStats, seconds: number): Rate {
  const per = (of: (stats: VmStats) => number) => Math.max(0, of(now) - of(before)) / seconds
  return {
    id,
    cpus: per(({ cpuTimeNs }) => cpuTimeNs) / 1e9,
    wantedCpus: per(({ guestTimeNs, waitedNs }) => guestTimeNs + waitedNs) / 1e9,
    memoryBytes: now.ownBytes,
    diskBytesPerS: per(({ diskReadBytes, diskWrittenBytes }) => diskReadBytes + diskWrittenBytes),
    sentBytesPerS: per(({ sentBytes }) => sentBytes),
    sentPacketsPerS: per(({ sentPackets }) => sentPackets),
  }
}
