import { priorities, type Vm } from '../../store/index.ts'

/** How much earlier a VM is woken for each that is woken before it. */
const eachMs = 2_000

export interface Alarm {
  id: string
  /** When the appointment is due, in ms since the epoch. */
  at: number
  priority: Vm['priority']
}

/**
 * Decides when to wake each VM, so that all are awake in time when only `size` are woken at once: the later of those
 * that are due together as usual, the others before them. Pure.
 * @param leadMs how long before its appointment a VM is woken
 * @returns the alarms, earliest first, with the time to wake at
 */
export function wakeTimes<T extends Alarm>(
  alarms: readonly T[],
  size: number,
  leadMs: number,
): (T & { wakeAt: number })[] {
  const latestFirst = alarms.toSorted((a, b) => b.at - a.at || rank(a) - rank(b))
  const timed: (T & { wakeAt: number })[] = []
  for (const [i, alarm] of latestFirst.entries()) {
    const next = timed[i - size]
    timed.push({ ...alarm, wakeAt: Math.min(alarm.at - leadMs, next ? next.wakeAt - eachMs : Infinity) })
  }
  return timed.toReversed()
}

/** Picks the VM to wake now: the one with the highest priority, then the one whose appointment is first. Pure. */
export function nextToWake<T extends Alarm & { wakeAt: number }>(timed: readonly T[], now: number): T | undefined {
  const [first] = timed.filter(({ wakeAt }) => wakeAt <= now).sort((a, b) => rank(b) - rank(a) || a.at - b.at)
  return first
}

const rank = ({ priority }: Alarm): number => priorities.indexOf(priority)
