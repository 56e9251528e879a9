import { type Range, tiers } from '../core/interfaces/metrics.ts'

type Tier = (typeof tiers)[Range] & { at: number }

const magic = Buffer.from('croftrng')
const version = 2
const headerBytes = 16

/**
 * What was measured of one subject, in four resolutions of fixed size: each a ring of slots, which hold the mean of the
 * samples that fell into their time, and say themselves which time that is. A slot of a time long past reads as a gap.
 * It is held as the bytes of its file: a header (`croftrng`, version, number of series), then the rings one after another,
 * each slot its beginning in s since 1970 (u32), then of each series the mean (f32, NaN for none) and of how many known
 * samples it is one (u16); little-endian.
 */
export class Ring {
  readonly #series: number
  readonly #slotBytes: number
  readonly #tiers: Record<Range, Tier>
  readonly bytes: Buffer
  /** Seconds; of the last sample. Before the first, the file may have some of a clock that went ahead. */
  #last = Number.POSITIVE_INFINITY
  /** Parts of the bytes that the file has not, by where they begin; the end of each. */
  #changed = new Map<number, number>()

  /** @param file what its file has; when that is no ring of so many series, the ring begins anew */
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

  /** Adds a sample. @param seconds since 1970 @param values in the order of the series; null for what is not known */
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

  /** @returns the beginning of the first slot, and of each series its slots up to now; null for a gap */
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

  /** What the file has not yet, as places of the bytes, neighbours together; from here on it counts as written. */
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

  /** When they could not be written after all. */
  giveBack(changes: readonly [number, number][]): void {
    for (const [from, to] of changes) this.#changed.set(from, Math.max(to, this.#changed.get(from) ?? 0))
  }

  #empty(at: number, begin: number): void {
    this.bytes.fill(0, at, at + this.#slotBytes)
    this.bytes.writeUInt32LE(begin, at)
    for (let i = 0; i < this.#series; i++) this.bytes.writeFloatLE(Number.NaN, at + 4 + 6 * i)
  }

  /** Takes a value into the mean at a place. Where the file was garbled, a count may be any: more than one a second is none. */
  #mix(place: number, value: number, stepSeconds: number): void {
    const before = this.bytes.readFloatLE(place)
    const count = Number.isFinite(before) ? Math.min(this.bytes.readUInt16LE(place + 4), stepSeconds - 1) + 1 : 1
    this.bytes.writeFloatLE(count === 1 ? value : before + (value - before) / count, place)
    this.bytes.writeUInt16LE(count, place + 4)
  }

  #slot(tier: Tier, begin: number): number {
    return tier.at + ((begin / tier.stepSeconds) % tier.slots) * this.#slotBytes
  }

  /** The clock has gone back: what was measured at times that are yet to come would be taken for theirs. */
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
