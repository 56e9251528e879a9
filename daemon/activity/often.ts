import type { Note } from './entry.ts'

const windowMs = 10 * 60_000
/** How many equal entries are written within ten minutes before further ones are only counted. */
const most = 20

interface Window {
  written: number
  counted: number
  last: Note
  timer: ReturnType<typeof setTimeout>
}

/**
 * Keeps repeated events (a token's program, somebody who tries links) from filling the log: within ten minutes, 20
 * equal entries are written; further ones are counted, and written as one entry when the ten minutes are over.
 */
export class Often {
  readonly #windows = new Map<string, Window>()
  readonly #write: (note: Note, count: number) => void

  constructor(write: (note: Note, count: number) => void) {
    this.#write = write
  }

  /** Takes a note of an event. @returns whether to write it; false when it is only counted */
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

  /** Writes the entries that have been counted so far. */
  close(): void {
    for (const key of [...this.#windows.keys()]) this.#end(key)
  }
}

/**
 * The key of equal entries. It leaves out everything that a stranger chooses, including the VM that they try: otherwise
 * they could make every attempt look different. Pure.
 */
function keyOf({ by, command, what, vms = [], result = 'done' }: Note): string {
  const about = by.kind === 'stranger' && result !== 'done' ? [] : vms.map(({ id }) => id)
  return JSON.stringify([by.kind, by.id, command ?? what, result, about])
}
