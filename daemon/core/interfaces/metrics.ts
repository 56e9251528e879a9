import type { VmStats } from './hypervisor.ts'

/** What the machine under the box has and uses now. Bytes, and percent of all CPUs together. */
export interface HostUsage {
  cpus: number
  cpuPercent: number
  memoryTotalBytes: number
  memoryUsedBytes: number
  /** The part of it that VMs share: each page is counted once, and in no VM. */
  memorySharedBytes: number
  /** All kinds of swap together; 0 when there is none. */
  swapTotalBytes: number
  swapUsedBytes: number
  diskTotalBytes: number
  diskFreeBytes: number
  /** Disk space of images and of layers that several VMs use: everything of Croft's that belongs to no single VM. */
  diskKeptBytes: number
}

/** What one VM takes of the box now; nulls while it takes nothing. */
export interface VmUsage {
  /** Percent of one CPU. */
  cpuPercent: number | null
  /** The memory that it has for itself. What it shares with others is the box's `memorySharedBytes`. */
  memoryBytes: number | null
  /** Everything that goes with the VM: its disk, checkpoints and saved memory, and the layers that only they need. */
  diskBytes: number | null
}

/**
 * Percent of the last 10 s in which something waited for a CPU, for memory, or for a disk; nulls where the kernel does
 * not tell.
 */
export interface Pressure {
  cpu: number | null
  memory: number | null
  io: number | null
}

/** Monotonic counters, as last measured, for callers that compute their own rates. */
export interface Counters {
  /** Busy time of all CPUs of the box together since it came up. */
  cpuBusySeconds: number
  /** Counters of the running VMs, by id. */
  vms: Map<string, VmStats>
}

/** Measurements of a subject, in steps of equal length. */
export interface History {
  stepSeconds: number
  /** The beginning of the first step, in seconds since 1970. */
  from: number
  /** The mean of each step; null where nothing was measured. */
  series: Record<string, (number | null)[]>
}

/** The box itself, or a VM by its id. */
export type Subject = 'box' | { vm: string }

/** How far back the history of the box and its VMs reaches, and at what resolution. */
export const tiers = {
  '1h': { stepSeconds: 10, slots: 360 },
  '24h': { stepSeconds: 120, slots: 720 },
  '7d': { stepSeconds: 900, slots: 672 },
  '30d': { stepSeconds: 3600, slots: 720 },
} as const

export type Range = keyof typeof tiers

export const ranges = Object.keys(tiers) as [Range, ...Range[]]
