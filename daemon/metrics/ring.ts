import { type Range, tiers } from '../core/interfaces/metrics.ts'

type Tier = (typeof tiers)[Range] & { at: number }

const magic = Buffer.from('croftrng')
const version = 2
const headerBytes = 16

/**
 * The measurements of one subject, in four resolutions of fixed size. Each resolution is a ring of slots; a slot holds
 * its own time and the mean of the samples that fell into it. A slot with a time from an earlier round reads as a gap.
 * A ring is held as the bytes of its file: a header (`croftrng`, version, number of series), then the rings one after
 * another. Each slot has its beginning in s since 1970 (u32), and for each series the mean (f32, NaN for none) and the
 * number of known samples in it (u16); little-endian.
 */
export class Ring {
  readonly #series: number
  readonly #slotBytes: number
  readonly #tiers: Record<Range, Tier>
  readonly bytes: Buffer
  /** The time of the last sample, in seconds. Before the first, the file may have samples of a clock that was ahead. */
  #last = Number.POSITIVE_INFINITY
  /** Ranges of the bytes that the file does not have yet: start to end. */
  #changed = new Map<number, number>()

  /** @param file the content of its file; the ring starts empty unless that is a ring with as many series */
  constructor(series: number, file?: Buffer) {
    this.#series = series
    this.#slotBytes = 4 + 6 * series
    let at = headerBytes
    const placed = Object.entries(tiers).map(([range, tier]) => {
      const here = { ...tier, at }
      at += tier.slots * this.#slotBytes
      return [range, here]
    })
    this.#tiers = Object.fromEntries(placed)
    const header = Buffer.alloc(headerBytes)
    magic.copy(header)
    header.writeUInt32LE(version, 8)
    header.writeUInt32LE(series, 12)
    if (file?.length === at && file.subarray(0, headerBytes).equals(header)) {
      this.bytes = file
      return
    }
    this.bytes = Buffer.alloc(at)
    header.copy(this.bytes)
    this.#changed.set(0, headerBytes)
  }

  /** Adds a sample. @param seconds since 1970 @param values in the order of the series; null for unknown ones */
  add(seconds: number, values: readonly (number | null)[]): void {
    if (seconds < this.#last) this.#forgetAfter(seconds)
    this.#last = seconds
    for (const tier of Object.values(this.#tiers)) {
      const begin = seconds - (seconds % tier.stepSeconds)
      const at = this.#slot(tier, begin)
      if (this.bytes.readUInt32LE(at) !== begin) this.#empty(at, begin)
      for (const [i, value] of values.entries()) if (value !== null) this.#mix(at + 4 + 6 * i, value, tier.stepSeconds)
      this.#changed.set(at, at + this.#slotBytes)
    }
  }

  /** Reads a range. @returns the beginning of the first slot, and each series' slots up to now; null for a gap */
  read(range: Range, seconds: number): { from: number; series: (number | null)[][] } {
    const tier = this.#tiers[range]
    const last = seconds - (seconds % tier.stepSeconds)
    const from = last - (tier.slots - 1) * tier.stepSeconds
    const slots = Array.from({ length: tier.slots }, (_, i) => {
      const begin = from + i * tier.stepSeconds
      const at = this.#slot(tier, begin)
      return this.bytes.readUInt32LE(at) === begin ? at : undefined
    })
    const value = (at: number | undefined, series: number) => {
      const value = at === undefined ? Number.NaN : this.bytes.readFloatLE(at + 4 + 6 * series)
      return Number.isFinite(value) ? value : null
    }
    return { from, series: Array.from({ length: this.#series }, (_, i) => slots.map((at) => value(at, i))) }
  }

  /**
   * Returns the byte ranges that the file does not have yet, adjacent ones joined; they count as written from now on.
   */
  takeChanges(): [from: number, to: number][] {
    const joined: [number, number][] = []
    for (const [from, to] of [...this.#changed].sort(([a], [b]) => a - b)) {
      const before = joined.at(-1)
      if (before?.[1] === from) before[1] = to
      else joined.push([from, to])
    }
    this.#changed = new Map()
    return joined
  }

  /** Takes back changes that could not be written after all. */
  giveBack(changes: readonly [number, number][]): void {
    for (const [from, to] of changes) this.#changed.set(from, Math.max(to, this.#changed.get(from) ?? 0))
  }

  #empty(at: number, begin: number): void {
    this.bytes.fill(0, at, at + this.#slotBytes)
    this.bytes.writeUInt32LE(begin, at)
    for (let i = 0; i < this.#series; i++) this.bytes.writeFloatLE(Number.NaN, at + 4 + 6 * i)
  }

  /**
   * Mixes a value into the mean at a place. In a garbled file the count may be anything: it is capped at one sample per
   * second.
   */
  #mix(place: number, value: number, stepSeconds: number): void {
    const before = this.bytes.readFloatLE(place)
    const count = Number.isFinite(before) ? Math.min(this.bytes.readUInt16LE(place + 4), stepSeconds - 1) + 1 : 1
    this.bytes.writeFloatLE(count === 1 ? value : before + (value - before) / count, place)
    this.bytes.writeUInt16LE(count, place + 4)
  }

  #slot(tier: Tier, begin: number): number {
    return tier.at + ((begin / tier.stepSeconds) % tier.slots) * this.#slotBytes
  }

  /** Forgets slots in the future after the clock was set back: they would be mistaken for measurements of that time. */
  #forgetAfter(seconds: number): void {
    for (const tier of Object.values(this.#tiers)) {
      for (let at = tier.at, i = 0; i < tier.slots; i++, at += this.#slotBytes) {
        if (this.bytes.readUInt32LE(at) <= seconds) continue
        this.bytes.writeUInt32LE(0, at)
        this.#changed.set(at, at + this.#slotBytes)
      }
    }
  }
}
