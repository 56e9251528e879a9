import { readFile } from 'node:fs/promises'
import type { Pressure } from '../../core/interfaces/metrics.ts'

/** Returns the time that all CPUs together have spent since the box booted, in ticks: proc_stat(5). */
export async function readCpuTicks(): Promise<{ busy: number; all: number }> {
  const fields = (await readFile('/proc/stat', 'utf8')).split('\n')[0]!.split(/\s+/).slice(1, 9).map(Number)
  const all = fields.reduce((sum, field) => sum + field, 0)
  return { all, busy: all - (fields[3] ?? 0) - (fields[4] ?? 0) } // without idle and iowait
}

/** Returns the bytes of the box's memory, without its swap. */
export async function readMemory(): Promise<{ total: number; available: number }> {
  const [total, available] = await readMeminfo('MemTotal', 'MemAvailable')
  return { total: total!, available: available! }
}

/**
 * Returns the kernel's pressure stall information: the percentage of the last 10 s in which some, and in which all,
 * processes waited for a resource; nulls when the kernel does not have it, or has it turned off.
 */
export async function readStalls(
  resource: 'cpu' | 'memory' | 'io',
): Promise<{ some: number | null; full: number | null }> {
  const text = await readFile(`/proc/pressure/${resource}`, 'utf8').catch(() => '')
  const of = (kind: string) => {
    const found = new RegExp(`^${kind} avg10=([\\d.]+)`, 'm').exec(text)?.[1]
    return found === undefined ? null : Number(found)
  }
  return { some: of('some'), full: of('full') }
}

export async function readPressure(): Promise<Pressure> {
  const [cpu, memory, io] = await Promise.all([readStalls('cpu'), readStalls('memory'), readStalls('io')])
  return { cpu: cpu.some, memory: memory.some, io: io.some }
}

/** Returns the bytes of the box's swap, of all kinds together; zeros when it has none. */
export async function readSwap(): Promise<{ total: number; used: number }> {
  const [total, free] = await readMeminfo('SwapTotal', 'SwapFree')
  return { total: total!, used: total! - free! }
}

/** Returns values of /proc/meminfo, in bytes. */
async function readMeminfo(...names: string[]): Promise<number[]> {
  const text = await readFile('/proc/meminfo', 'utf8')
  return names.map((name) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0) * 1024)
}
