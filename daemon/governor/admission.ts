import { CroftError } from '../lib/error.ts'
import { bytes } from '../lib/text/units.ts'
import type { BoxMemory } from './decide.ts'

/** How long a caller waits for free memory, how often that is checked, and the least of it to admit one more VM. */
const patienceMs = 10_000
const lookMs = 500
const oneMoreBytes = 256 * 2 ** 20

interface Waiting extends PromiseWithResolvers<void> {
  name: string
  bytes: number
  /** When its patience ends, by `performance.now()`. */
  late: number
}

/**
 * Admits work that takes memory, once there is enough free memory for it in addition to what admitted work has yet to
 * take.
 */
export class Admission {
  readonly #readBox: () => Promise<BoxMemory>
  /** Bytes that running work is expected to take. */
  #expected = 0
  /** In the order of their requests. */
  readonly #waiting = new Set<Waiting>()
  #isLooking = false
  #timer: NodeJS.Timeout | undefined

  constructor(readBox: () => Promise<BoxMemory>) {
    this.#readBox = readBox
  }

  /** See `MemoryGovernor`. */
  admit<T>(name: string, work: () => Promise<T>): Promise<T> {
    return this.lend(name, oneMoreBytes, work)
  }

  async lend<T>(name: string, bytes: number, work: () => Promise<T>): Promise<T> {
    if (bytes <= 0) return work()
    const waiting = { name, bytes, late: performance.now() + patienceMs, ...Promise.withResolvers<void>() }
    this.#waiting.add(waiting)
    this.#look()
    await waiting.promise
    return this.#during(bytes, work)
  }

  expect<T>(bytes: number, work: () => Promise<T>): Promise<T> {
    this.#expected += bytes
    return this.#during(bytes, work)
  }

  /** Does work whose bytes are expected. */
  async #during<T>(bytes: number, work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } finally {
      this.#expected -= bytes
      this.#look()
    }
  }

  #look(): void {
    clearTimeout(this.#timer)
    if (this.#isLooking || this.#waiting.size === 0) return
    this.#isLooking = true
    this.#readBox()
      .then(
        (box) => this.#settle(box),
        (error) => {
          for (const waiting of this.#waiting) waiting.reject(error)
          this.#waiting.clear()
        },
      )
      .finally(() => {
        this.#isLooking = false
        if (this.#waiting.size > 0) this.#timer = setTimeout(() => this.#look(), lookMs)
      })
  }

  /**
   * Admits those for whom there is memory, and refuses those who have waited for it for too long. For memory that is
   * free but expected by other work, the first in line waits as long as that work takes, and those after it wait too.
   */
  #settle({ total, available, reserve }: BoxMemory): void {
    const free = available - reserve
    const now = performance.now()
    let isFull = false
    for (const waiting of this.#waiting) {
      if (free < waiting.bytes) {
        if (now <= waiting.late) continue
        waiting.reject(noRoom(waiting, free, total))
      } else {
        waiting.late = now + patienceMs
        isFull ||= free - this.#expected < waiting.bytes
        if (isFull) continue
        this.#expected += waiting.bytes
        waiting.resolve()
      }
      this.#waiting.delete(waiting)
    }
  }
}

const noRoom = ({ name, bytes: wanted }: Waiting, free: number, total: number): CroftError =>
  new CroftError(
    'no-room',
    `There is no memory for ${name}: it needs ${bytes(wanted)}, and the box has ${bytes(Math.max(0, free))} of ${bytes(total)} left for VMs.`,
    {
      hint: "Find the VMs that use most, and put to sleep or stop those you don't need: croft top --sort memory",
    },
  )
