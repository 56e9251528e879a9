import type { Logger } from 'pino'
import { asCroftError } from '../lib/error.ts'
import { type Entry, entryOf, type Note } from './entry.ts'
import { type EntryFilter, isWanted } from './entry-text.ts'
import { ActivityFile } from './file.ts'
import { Often } from './often.ts'

export { bounded, croft, type Entry, entrySchema, type Identity, type Note, type Origin } from './entry.ts'
export { type EntryFilter, whatOf, whenceOf, whoOf } from './entry-text.ts'

export interface Asked extends EntryFilter {
  /** Only entries before the one with this id. */
  before?: number | undefined
  /** Only entries that are not older. */
  since?: Date | undefined
  limit: number
  /** Only entries that the caller may see. */
  may?: (entry: Entry) => boolean
}

export interface ActivityParts {
  log: Pick<Logger, 'warn'>
  /** Called with each entry when it is written. */
  heard(entry: Entry): void
}

/**
 * The activity log: who did what, when, from where, and with what result. A failure to write it never fails the logged
 * action: on a full disk, entries are lost, and the daemon's log says so.
 */
export class Activity {
  readonly #file: ActivityFile
  readonly #parts: ActivityParts
  readonly #often: Often
  #last: number
  #failing = false

  private constructor(file: ActivityFile, last: number, parts: ActivityParts) {
    this.#file = file
    this.#last = last
    this.#parts = parts
    this.#often = new Often((note, count) => void this.#write(note, count))
  }

  /** @param folder the state folder */
  static async open(folder: string, parts: ActivityParts): Promise<Activity> {
    const file = new ActivityFile(folder)
    let last = 0
    for await (const { id } of file.newestFirst()) {
      last = id
      break
    }
    return new Activity(file, last, parts)
  }

  /**
   * Writes an entry. Resolves when it is written or can't be; never rejects. Entries that repeat very often are only
   * counted, and the count is written later.
   */
  async note(note: Note): Promise<void> {
    if (this.#often.takes(note)) await this.#write(note, 1)
  }

  /** Waits for `work` and writes an entry with its result. @throws what `work` throws */
  async during<T>(note: Note, work: Promise<T>): Promise<T> {
    const began = performance.now()
    try {
      const result = await work
      await this.note({ ...note, ms: performance.now() - began })
      return result
    } catch (thrown) {
      const { code, message } = asCroftError(thrown)
      await this.note({ ...note, ms: performance.now() - began, result: 'failed', code, says: message })
      throw thrown
    }
  }

  async #write(note: Note, count: number): Promise<void> {
    const entry = entryOf(note, ++this.#last, new Date(), count)
    try {
      await this.#file.append(entry)
      this.#failing = false
    } catch (err) {
      if (!this.#failing) this.#parts.log.warn({ err }, "the activity log can't be written; new entries are lost")
      this.#failing = true
    }
    this.#parts.heard(entry)
  }

  /** Reads the newest matching entries. @returns them, oldest first, and whether there are older ones */
  async read({
    before,
    since,
    limit,
    may = () => true,
    ...wanted
  }: Asked): Promise<{ entries: Entry[]; more: boolean }> {
    const entries: Entry[] = []
    for await (const entry of this.#file.newestFirst()) {
      if (before !== undefined && entry.id >= before) continue
      // The clock may have been set between any two entries, so the search goes on beyond older ones.
      if (since && entry.at < since.toISOString()) continue
      if (!may(entry) || !isWanted(entry, wanted)) continue
      if (entries.length === limit) return { entries: entries.reverse(), more: true }
      entries.push(entry)
    }
    return { entries: entries.reverse(), more: false }
  }

  async close(): Promise<void> {
    this.#often.close()
    await this.#file.close()
  }
}
