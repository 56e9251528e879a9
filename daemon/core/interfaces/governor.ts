import type { Vm } from '../../store/index.ts'
import type { Pressure } from './metrics.ts'

/** How the box's memory stands: there is room; VMs give back what they don't use; idle ones are put to sleep; none is let in. */
export const levels = ['plenty', 'tight', 'short', 'none'] as const
export type Level = (typeof levels)[number]

/** How the box stands, and in a few words why. */
export interface MemoryPressure {
  level: Level
  reason: string
}

/** What VMs share. */
export const resources = ['cpu', 'memory', 'disk', 'network'] as const
export type Resource = (typeof resources)[number]

/** What is done about it, in words; undefined when nothing has to be. */
export const standings: Record<Level, string | undefined> = {
  plenty: undefined,
  tight: 'tight: VMs give back what they don’t use',
  short: 'short: VMs that nobody uses are put to sleep',
  none: 'full: no more VMs are let in',
}

/** What is done about how the memory stands, and why; nothing when nothing has to be. */
export function standing({ level, reason }: MemoryPressure): string[] {
  const does = standings[level]
  return does === undefined ? [] : [does, reason]
}

/** `CPU 3.1 %`, `memory 0.0 %`: what was waited for, and how long. */
export function waits({ cpu, memory, io }: Pressure): string[] {
  const all = [
    ['CPU', cpu],
    ['memory', memory],
    ['disk', io],
  ] as const
  return all.flatMap(([what, percent]) => (percent === null ? [] : `${what} ${percent.toFixed(1)} %`))
}

/** What shares the box among its VMs; see governor/. */
export interface MemoryGovernor {
  /**
   * Does what has one more VM run, once there is memory for it; waits for that a moment.
   * @throws CroftError `no-room`; nothing has then been done
   */
  admit<T>(name: string, work: () => Promise<T>): Promise<T>
  /**
   * Does what has a VM take so many bytes of memory for a while, once they are there; waits for that a moment.
   * @throws CroftError `no-room`; nothing has then been done
   */
  lend<T>(name: string, bytes: number, work: () => Promise<T>): Promise<T>
  /** The same, for what has to be done whether they are there or not: none of them is given to anybody else meanwhile. */
  expect<T>(bytes: number, work: () => Promise<T>): Promise<T>
  /** A VM has so many bytes that it has no use for: they are taken back. */
  reclaim(id: string, bytes: number): void
  /** What is done to a VM now, or that it takes so much that others wait, and why, in a few words each; undefined: nothing. */
  of(id: string): { what: string; why: string } | undefined
  /** What a VM takes so much of that others wait; undefined: nothing. */
  heavyOn(id: string): Resource | undefined
  /** What a VM gets of CPUs that are short, in parts of what its priority says: less while it computes. */
  weightOf(id: string): number
  /** Has `listener` called when that is another. @returns ends that */
  watchWeights(listener: (vm: Vm) => void): () => void
  now(): MemoryPressure
}
