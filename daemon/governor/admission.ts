import { setTimeout as delay } from 'node:timers/promises'
import { CroftError } from '../lib/error.ts'
import { bytes } from '../lib/text/units.ts'
import type { BoxMemory } from './decide.ts'

/** How long a caller waits for memory, how often it checks, and the least free memory to admit one more VM. */
const patienceMs = 10_000
const lookMs = 500
const oneMoreBytes = 256 * 2 ** 20

/**
 * Admits work that takes memory, once there is enough free memory for it in addition to what admitted work has yet to
 * take.
 */
export class Admission {
  readonly #readBox: () => Promise<BoxMemory>
  /** Bytes that running work is expected to take. */
  #expected = 0

  constructor(readBox: () => Promise<BoxMemory>) {
    this.#readBox = readBox
  }

  /** See `MemoryGovernor`. */
  admit<T>(name: string, work: () => Promise<T>): Promise<T> {
    return this.lend(name, oneMoreBytes, work)
  }

  async lend<T>(name: string, bytes: number, work: () => Promise<T>): Promise<T> {
    if (bytes > 0) await this.#room(name, bytes)
    return this.expect(bytes, work)
  }

  async expect<T>(bytes: number, work: () => Promise<T>): Promise<T> {
    this.#expected += bytes
    try {
      return await work()
    } finally {
      this.#expected -= bytes
    }
  }

  /** Waits until so many bytes are free. @throws CroftError `no-room` */
  async #room(name: string, wanted: number): Promise<void> {
    const late = performance.now() + patienceMs
    for (;;) {
      const { total, available, reserve } = await this.#readBox()
      const room = available - reserve - this.#expected
      if (room >= wanted) return
      if (performance.now() > late)
        throw new CroftError(
          'no-room',
          `There is no memory for ${name}: it needs ${bytes(wanted)}, and the box has ${bytes(Math.max(0, room))} of ${bytes(total)} left for VMs.`,
          {
            hint: "Find the VMs that use most, and put to sleep or stop those you don't need: croft top --sort memory",
          },
        )
      await delay(lookMs)
    }
  }
}
