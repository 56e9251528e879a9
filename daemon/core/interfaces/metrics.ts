import type { VmStats } from './hypervisor.ts'

/** What the machine under the box has and uses now. Bytes, and percent of all CPUs together. */
export interface HostUsage {
  cpus: number
  cpuPercent: number
  memoryTotalBytes: number
  memoryUsedBytes: number
  /** Of all kinds together; 0 when there is none. */
  swapTotalBytes: number
  swapUsedBytes: number
  diskTotalBytes: number
  diskFreeBytes: number
  /** What images, and what several VMs stand on, take of the disk: all of Croft's that goes with no one VM. */
  diskKeptBytes: number
}

/** What one VM takes of the box now; nulls while it takes nothing. */
export interface VmUsage {
  /** Percent of one CPU. */
  cpuPercent: number | null
  memoryBytes: number | null
  /** All that goes with it: its disk, checkpoints and saved memory, and what only they stand on. */
  diskBytes: number | null
}

/** Percent of the last 10 s in which something waited for a CPU, for memory, or for a disk; nulls where the kernel does not tell. */
export interface Pressure {
  cpu: number | null
  memory: number | null
  io: number | null
}

/** What only counts up, as it was last measured: for who takes rates of it himself. */
export interface Counters {
  /** Time in which the CPUs of the box were busy since it came up, of all together. */
  cpuBusySeconds: number
  /** Of the VMs that run, by id. */
  vms: Map<string, VmStats>
}

/** What was measured of a subject, in steps of equal length. */
export interface History {
  stepSeconds: number
  /** The beginning of the first step, in seconds since 1970. */
  from: number
  /** The mean of each step; null where nothing was measured. */
  series: Record<string, (number | null)[]>
}

/** The box itself, or a VM by its id. */
export type Subject = 'box' | { vm: string }

/** How far back it is kept what the box and its VMs used, and how finely. */
export const tiers = {
  '1h': { stepSeconds: 10, slots: 360 },
  '24h': { stepSeconds: 120, slots: 720 },
  '7d': { stepSeconds: 900, slots: 672 },
  '30d': { stepSeconds: 3600, slots: 720 },
} as const

export type Range = keyof typeof tiers

export const ranges = Object.keys(tiers) as [Range, ...Range[]]
