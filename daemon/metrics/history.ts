import { mkdir, open, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Logger } from 'pino'
import type { History, Subject } from '../core/interfaces/metrics.ts'
import { type Range, tiers } from '../core/interfaces/metrics.ts'
import { Ring } from './ring.ts'

/** The series of a VM. Percent of one CPU, bytes, and bytes per second as the guest sees them. */
export const vmSeries = [
  'cpuPercent',
  'memoryBytes',
  'diskBytes',
  'receivedBytesPerSecond',
  'sentBytesPerSecond',
  'diskReadBytesPerSecond',
  'diskWrittenBytesPerSecond',
] as const

/**
 * The series of the box. Percent of all CPUs, bytes, and the percent of time in which something waited for a CPU,
 * memory or the disk (the kernel's pressure stall information, `some avg10`).
 */
export const boxSeries = [
  'cpuPercent',
  'memoryUsedBytes',
  'diskUsedBytes',
  'cpuPressure',
  'memoryPressure',
  'ioPressure',
] as const

export type VmSample = Record<(typeof vmSeries)[number], number | null>
export type BoxSample = Record<(typeof boxSeries)[number], number | null>

/** Rings of subjects that were measured this recently are held in memory. */
const heldMs = 120_000

/** Keeps the measurements of the box and its VMs: in memory, and in files when `write` is called. */
export class Histories {
  readonly #folder: string
  readonly #log: Logger
  readonly #held = new Map<string, { ring: Promise<Ring>; at: number }>()

  constructor(stateFolder: string, log: Logger) {
    this.#folder = join(stateFolder, 'history')
    this.#log = log
  }

  async addVm(id: string, now: Date, sample: VmSample): Promise<void> {
    await this.#add(
      { vm: id },
      now,
      vmSeries.map((name) => sample[name]),
    )
  }

  async addBox(now: Date, sample: BoxSample): Promise<void> {
    await this.#add(
      'box',
      now,
      boxSeries.map((name) => sample[name]),
    )
  }

  /** Reads a history. Pressure series without any known value, as on an old kernel, are left out. */
  async read(subject: Subject, range: Range, now: Date): Promise<History> {
    const ring = await (this.#held.get(fileOf(subject))?.ring ?? this.#load(subject))
    const { from, series } = ring.read(range, seconds(now))
    const named = seriesOf(subject).map((name, i) => [name, series[i]!] as const)
    const shown = named.filter(([name, values]) => !name.endsWith('Pressure') || values.some((value) => value !== null))
    return { stepSeconds: tiers[range].stepSeconds, from, series: Object.fromEntries(shown) }
  }

  /** Updates the files, and removes those of VMs that are gone. A file that can't be written is retried next time. */
  async write(now: Date, vms: ReadonlySet<string>): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 })
    const known = new Set([fileOf('box'), ...[...vms].map((vm) => fileOf({ vm }))])
    const problems: unknown[] = []
    for (const [file, held] of this.#held) {
      if (!known.has(file)) this.#held.delete(file)
      else
        await write(join(this.#folder, file), await held.ring).then(
          () => now.getTime() - held.at > heldMs && this.#held.delete(file),
          (error) => problems.push(error),
        )
    }
    for (const file of await readdir(this.#folder))
      if (!known.has(file)) await rm(join(this.#folder, file), { force: true, recursive: true })
    if (problems.length) throw problems[0]
  }

  async #add(subject: Subject, now: Date, values: readonly (number | null)[]): Promise<void> {
    const file = fileOf(subject)
    const held = this.#held.get(file) ?? { ring: this.#load(subject), at: 0 }
    held.at = now.getTime()
    this.#held.set(file, held)
    const ring = await held.ring
    ring.add(seconds(now), values)
  }

  async #load(subject: Subject): Promise<Ring> {
    const file = fileOf(subject)
    const bytes = await readFile(join(this.#folder, file)).catch((err) => {
      if (err.code === 'ENOENT') return undefined
      // Retried at the next sample, so that the content of the file is not overwritten.
      this.#log.warn({ err, file }, 'could not read a history')
      this.#held.delete(file)
      throw err
    })
    return new Ring(seriesOf(subject).length, bytes)
  }
}

const seconds = (date: Date): number => Math.floor(date.getTime() / 1000)
const fileOf = (subject: Subject): string => (subject === 'box' ? 'box.ring' : `vm-${subject.vm}.ring`)
const seriesOf = (subject: Subject): readonly string[] => (subject === 'box' ? boxSeries : vmSeries)

/**
 * Writes what has changed in place: a few hundred bytes. A slot that is torn by a power cut has a wrong time, and so
 * reads as a gap.
 */
async function write(path: string, ring: Ring): Promise<void> {
  const changes = ring.takeChanges()
  if (changes.length === 0) return
  try {
    const begins = changes[0]![0] === 0
    await using file = await open(path, begins ? 'w' : 'r+', 0o600).catch((error) => {
      // Somebody has removed the file: write all of it.
      if (error.code !== 'ENOENT') throw error
      changes.splice(0, changes.length, [0, ring.bytes.length])
      return open(path, 'w', 0o600)
    })
    if (begins) await file.truncate(ring.bytes.length)
    for (const [from, to] of changes) await file.write(ring.bytes, from, to - from, from)
  } catch (error) {
    ring.giveBack(changes)
    throw error
  }
}
