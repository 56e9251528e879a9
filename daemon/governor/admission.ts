import { setTimeout as delay } from 'node:timers/promises'
import { CroftError } from '../lib/error.ts'
import { bytes } from '../lib/units.ts'
import type { BoxMemory } from './decide.ts'

/** How long a caller waits for room for one more VM, how often it looks, and what it has to find at least. */
const patienceMs = 10_000
const lookMs = 500
const oneMoreBytes = 256 * 2 ** 20

/** Lets work begin that takes memory: only once there is room for it, beside all that has been let in and has not taken its own yet. */
export class Admission {
  readonly #readBox: () => Promise<BoxMemory>
  /** Bytes that the work under way will take. */
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

  /** Waits for room. @throws CroftError `no-room` */
  async #room(name: string, wanted: number): Promise<void> {
    const late = performance.now() + patienceMs
    for (;;) {
      const { total, available, reserve } = await this.#readBox()
      const room = available - reserve - this.#expected
      if (room >= wanted) return
      if (performance.now() > late)
        throw new CroftError(
          'no-room',
          `There is no memory for ${name}: of ${bytes(total)} the box has ${bytes(Math.max(0, room))} left for VMs, and it wants ${bytes(wanted)}.`,
          { hint: 'See what uses most, and put to sleep or stop what is not needed: croft top --sort memory' },
        )
      await delay(lookMs)
    }
  }
}
