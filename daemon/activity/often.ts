import type { Note } from './entry.ts'

const windowMs = 10 * 60_000
/** How often the same may be written within ten minutes before it is only counted. */
const most = 20

interface Window {
  written: number
  counted: number
  last: Note
  timer: ReturnType<typeof setTimeout>
}

/**
 * Keeps what happens all the time (a token's program, somebody who tries links) from filling the log: of the same, 20 are
 * written within ten minutes, and the rest is counted and written as one when these are over.
 */
export class Often {
  readonly #windows = new Map<string, Window>()
  readonly #write: (note: Note, count: number) => void

  constructor(write: (note: Note, count: number) => void) {
    this.#write = write
  }

  /** @returns false when it is only counted */
  takes(note: Note): boolean {
    const key = keyOf(note)
    const known = this.#windows.get(key)
    if (!known) {
      const timer = setTimeout(() => this.#end(key), windowMs).unref()
      this.#windows.set(key, { written: 1, counted: 0, last: note, timer })
      return true
    }
    if (known.written < most) {
      known.written++
      return true
    }
    known.counted++
    known.last = note
    return false
  }

  #end(key: string): void {
    const { counted, last, timer } = this.#windows.get(key)!
    clearTimeout(timer)
    this.#windows.delete(key)
    if (counted > 0) this.#write(last, counted)
  }

  /** Writes what is counted. */
  close(): void {
    for (const key of [...this.#windows.keys()]) this.#end(key)
  }
}

/** Nothing that a stranger chooses is in it, nor which VM he tries: he could make every try another. Pure. */
function keyOf({ by, command, what, vms = [], result = 'done' }: Note): string {
  const about = by.kind === 'stranger' && result !== 'done' ? [] : vms.map(({ id }) => id)
  return JSON.stringify([by.kind, by.id, command ?? what, result, about])
}
