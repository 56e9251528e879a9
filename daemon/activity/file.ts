import { type FileHandle, open, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { type Entry, entrySchema } from './entry.ts'

/** The most bytes in a file before it is rotated; the previously rotated file is then replaced. */
const longest = 8 * 1024 * 1024
const chunkBytes = 64 * 1024

/**
 * Stores entries as lines of JSON, in two files: the current one and the one before it. Each line is written by a
 * single call, and incomplete lines are skipped when reading: the daemon may be killed, or the disk fill up, at any
 * moment.
 */
export class ActivityFile {
  readonly #path: string
  readonly #oldPath: string
  readonly #longest: number
  /** The current file, opened at the first write. */
  #file: FileHandle | undefined
  #size = 0
  /** Whether the file ends with a complete line. */
  #whole = true
  #closed = false
  /** Serializes all access to the files. */
  #turn: Promise<unknown> = Promise.resolve()

  /** Creates no file yet, so that the daemon can start on a full disk. @param folder the state folder */
  constructor(folder: string, most = longest) {
    this.#path = join(folder, 'activity.jsonl')
    this.#oldPath = join(folder, 'activity.old.jsonl')
    this.#longest = most
  }

  /** Appends an entry. @throws errors of the file system; the next call tries again */
  append(entry: Entry): Promise<void> {
    const line = `${JSON.stringify(entry)}\n`
    return this.#next(async () => {
      let file = this.#file ?? (await this.#openToAppend())
      if (this.#size > 0 && this.#size + Buffer.byteLength(line) > this.#longest) {
        await this.#putAside(file)
        file = await this.#openToAppend()
      }
      const text = this.#whole ? line : `\n${line}`
      // A failed write may have written a part.
      this.#whole = false
      const { bytesWritten } = await file.write(text)
      this.#size += bytesWritten
      this.#whole = bytesWritten === Buffer.byteLength(text)
    })
  }

  /** Opens the file for appending, and for reading, to see how it ends. */
  async #openToAppend(): Promise<FileHandle> {
    if (this.#closed) throw new Error('The activity log is closed.')
    const file = await open(this.#path, 'a+', 0o600)
    const { size } = await file.stat()
    const { bytesRead, buffer } = await file.read(Buffer.alloc(1), 0, 1, Math.max(0, size - 1))
    this.#file = file
    this.#size = size
    this.#whole = bytesRead === 0 || buffer.toString() === '\n'
    return file
  }

  async #putAside(file: FileHandle): Promise<void> {
    // Somebody may have removed it.
    await rename(this.#path, this.#oldPath).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error
    })
    this.#file = undefined
    await file.close()
  }

  /** All entries that exist now, newest first. */
  async *newestFirst(): AsyncGenerator<Entry> {
    // Opened together, so that no rotation happens between the two.
    const files = await this.#next(() =>
      Promise.all([this.#path, this.#oldPath].map((path) => open(path, 'r').catch(() => undefined))),
    )
    try {
      for (const file of files) if (file) yield* entriesOf(file)
    } finally {
      await Promise.all(files.map((file) => file?.close()))
    }
  }

  close(): Promise<void> {
    return this.#next(async () => {
      this.#closed = true
      await this.#file?.close()
      this.#file = undefined
    })
  }

  #next<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work)
    this.#turn = done.catch(() => {})
    return done
  }
}

/** Reads entries from the end, piece by piece. */
async function* entriesOf(file: FileHandle): AsyncGenerator<Entry> {
  let { size: at } = await file.stat()
  /** The beginning of what was read: the end of a line that may begin before it. */
  let rest = Buffer.alloc(0)
  while (at > 0) {
    const length = Math.min(chunkBytes, at)
    at -= length
    const { buffer } = await file.read(Buffer.alloc(length), 0, length, at)
    const piece = Buffer.concat([buffer, rest])
    const first = at === 0 ? -1 : piece.indexOf('\n')
    // Lines that are too long are not Croft's, and are dropped.
    if (at > 0 && first < 0) {
      rest = piece.length < chunkBytes * 4 ? piece : Buffer.alloc(0)
      continue
    }
    rest = piece.subarray(0, first + 1)
    const lines = piece.toString('utf8', first + 1).split('\n')
    for (const line of lines.reverse()) {
      const entry = parse(line)
      if (entry) yield entry
    }
  }
}

function parse(line: string): Entry | undefined {
  if (line === '') return undefined
  try {
    return entrySchema.safeParse(JSON.parse(line)).data
  } catch {
    return undefined
  }
}
