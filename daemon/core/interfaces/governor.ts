import type { Vm } from '../../store/index.ts'
import type { Pressure } from './metrics.ts'

/**
 * Levels of memory pressure: there is room; VMs give back what they don't use; idle VMs are put to sleep; no VM is
 * admitted.
 */
export const levels = ['plenty', 'tight', 'short', 'none'] as const
export type Level = (typeof levels)[number]

/** The box's memory pressure and, in a few words, the reason. */
export interface MemoryPressure {
  level: Level
  reason: string
}

/** The resources that VMs share. */
export const resources = ['cpu', 'memory', 'disk', 'network'] as const
export type Resource = (typeof resources)[number]

/** What Croft does about each level, in words; undefined for nothing. */
export const standings: Record<Level, string | undefined> = {
  plenty: undefined,
  tight: 'tight: VMs give back what they don’t use',
  short: 'short: VMs that nobody uses are put to sleep',
  none: 'full: no more VMs are let in',
}

/** What Croft does about the memory pressure, and why; empty when it need not do anything. */
export function standing({ level, reason }: MemoryPressure): string[] {
  const does = standings[level]
  return does === undefined ? [] : [does, reason]
}

/** `CPU 3.1 %`, `memory 0.0 %`: the resources that something waited for, and for how long. */
export function waits({ cpu, memory, io }: Pressure): string[] {
  const all = [
    ['CPU', cpu],
    ['memory', memory],
    ['disk', io],
  ] as const
  return all.flatMap(([what, percent]) => (percent === null ? [] : `${what} ${percent.toFixed(1)} %`))
}

/** Shares the box among its VMs; see governor/. */
export interface MemoryGovernor {
  /**
   * Does `work`, which makes one more VM run, once there is memory for it. Waits its turn while there is some, and a
   * moment while there is none.
   * @throws CroftError `no-room`; nothing has then been done
   */
  admit<T>(name: string, work: () => Promise<T>): Promise<T>
  /**
   * Does `work`, which makes a VM use that many more bytes of memory for a while, once they are free. Waits as
   * `admit` does. @throws CroftError `no-room`; nothing has then been done
   */
  lend<T>(name: string, bytes: number, work: () => Promise<T>): Promise<T>
  /** Does `work` even when the bytes are not free; meanwhile none of them are given to anyone else. */
  expect<T>(bytes: number, work: () => Promise<T>): Promise<T>
  /** Takes back that many bytes, which a VM has and does not need. */
  reclaim(id: string, bytes: number): void
  /**
   * What is being done to a VM now, or that it takes so much that others wait, and why, in a few words each; undefined
   * for nothing.
   */
  of(id: string): { what: string; why: string } | undefined
  /** The resource of which a VM takes so much that others wait; undefined for none. */
  heavyOn(id: string): Resource | undefined
  /** A factor on the CPU weight of a VM's priority, for when CPUs are short: less while the VM computes. */
  weightOf(id: string): number
  /** Calls `listener` when that factor changes. @returns stops watching */
  watchWeights(listener: (vm: Vm) => void): () => void
  now(): MemoryPressure
}
