import { type FileHandle, open, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { type Entry, entrySchema } from './entry.ts'

/** A file is put aside when it would become longer, in bytes; the one that was aside before goes. */
const longest = 8 * 1024 * 1024
const chunkBytes = 64 * 1024

/**
 * Entries as lines of JSON, in two files: the one that grows, and the one before it. A line is written by one call, and
 * whatever is no whole line is passed over when it is read: the daemon may be killed, or the disk be full, at any moment.
 */
export class ActivityFile {
  readonly #path: string
  readonly #oldPath: string
  readonly #longest: number
  /** The one that grows, once something is to be written into it. */
  #file: FileHandle | undefined
  #size = 0
  /** Whether the file ends with a whole line. */
  #whole = true
  #closed = false
  /** What is done with the files is done one after the other. */
  #turn: Promise<unknown> = Promise.resolve()

  /** Makes nothing yet: the daemon starts on a full disk as well. @param folder the state folder */
  constructor(folder: string, most = longest) {
    this.#path = join(folder, 'activity.jsonl')
    this.#oldPath = join(folder, 'activity.old.jsonl')
    this.#longest = most
  }

  /** @throws what the file system does; the next one is tried anew */
  append(entry: Entry): Promise<void> {
    const line = `${JSON.stringify(entry)}\n`
    return this.#next(async () => {
      let file = this.#file ?? (await this.#openToAppend())
      if (this.#size > 0 && this.#size + Buffer.byteLength(line) > this.#longest) {
        await this.#putAside(file)
        file = await this.#openToAppend()
      }
      const text = this.#whole ? line : `\n${line}`
      // If it fails, a part of it may be there.
      this.#whole = false
      const { bytesWritten } = await file.write(text)
      this.#size += bytesWritten
      this.#whole = bytesWritten === Buffer.byteLength(text)
    })
  }

  /** Also to be read, to see how it ends. */
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
    // Somebody may have taken it away.
    await rename(this.#path, this.#oldPath).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error
    })
    this.#file = undefined
    await file.close()
  }

  /** All that there is now, the newest first. */
  async *newestFirst(): AsyncGenerator<Entry> {
    // Opened together, so that nothing is put aside between the two.
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

/** From the end, piece by piece. */
async function* entriesOf(file: FileHandle): AsyncGenerator<Entry> {
  let { size: at } = await file.stat()
  /** The beginning of what was read, whose line may begin before it. */
  let rest = Buffer.alloc(0)
  while (at > 0) {
    const length = Math.min(chunkBytes, at)
    at -= length
    const { buffer } = await file.read(Buffer.alloc(length), 0, length, at)
    const piece = Buffer.concat([buffer, rest])
    const first = at === 0 ? -1 : piece.indexOf('\n')
    // A line that is longer than a piece is none of ours.
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
