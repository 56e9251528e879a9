import { link, open, readFile, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Adapter } from 'lowdb'
import { CroftError, isNoSpace } from '../lib/error.ts'

/**
 * A lowdb adapter whose file holds the whole old or the whole new state at every moment, even across a power cut: it
 * writes a temporary file, fsyncs it, keeps the old file as `<file>.last`, renames, and fsyncs the folder.
 * (lowdb's own adapter renames but does not fsync, and leaves the file readable by all.)
 */
export class DurableFile<T> implements Adapter<T> {
  readonly path: string
  readonly lastGoodPath: string
  readonly #parse: (raw: unknown) => T
  readonly #makeRoom: () => Promise<boolean>

  /**
   * @param parse validates and migrates what was read; anything it throws becomes a `state-damaged` error
   * @param makeRoom frees space on a full disk; returns false when it can't
   */
  constructor(path: string, parse: (raw: unknown) => T, makeRoom: () => Promise<boolean>) {
    this.path = path
    this.lastGoodPath = `${path}.last`
    this.#parse = parse
    this.#makeRoom = makeRoom
  }

  /**
   * Reads the file.
   * @returns null when there is none yet @throws CroftError `state-damaged`, naming the last good copy
   */
  async read(): Promise<T | null> {
    let text: string
    try {
      text = await readFile(this.path, 'utf8')
    } catch (error) {
      if (!isMissing(error)) throw error
      if (await exists(this.lastGoodPath)) throw this.#damaged('it is missing')
      return null
    }
    try {
      return this.#parse(JSON.parse(text))
    } catch (error) {
      throw this.#damaged(error instanceof Error ? firstLine(error) : String(error), error)
    }
  }

  async write(data: T): Promise<void> {
    for (;;) {
      try {
        return await this.#writeOnce(data)
      } catch (error) {
        if (!isNoSpace(error) || !(await this.#makeRoom())) throw error
      }
    }
  }

  async #writeOnce(data: T): Promise<void> {
    const folder = dirname(this.path)
    const temporary = `${this.path}.new`
    try {
      await using file = await open(temporary, 'w', 0o600)
      await file.writeFile(JSON.stringify(data))
      await file.sync()
      await this.#keepLast()
      await rename(temporary, this.path)
    } catch (error) {
      await rm(temporary, { force: true })
      throw error
    }
    await using handle = await open(folder, 'r')
    await handle.sync()
  }

  /**
   * Makes `<file>.last` a second name (hard link) of the current file; the rename that follows only replaces the
   * first.
   */
  async #keepLast(): Promise<void> {
    const temporary = `${this.lastGoodPath}.new`
    await rm(temporary, { force: true })
    try {
      await link(this.path, temporary)
    } catch (error) {
      if (isMissing(error)) return
      throw error
    }
    await rename(temporary, this.lastGoodPath)
  }

  #damaged(why: string, cause?: unknown): CroftError {
    return new CroftError('state-damaged', `${this.path} can't be used: ${why}.`, {
      hint: `Nothing was changed. The last good copy is ${this.lastGoodPath}. Compare both, put the right one in place, and start again.`,
      cause,
    })
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}

function firstLine(error: Error): string {
  return error.message.replace(/\s+/g, ' ').slice(0, 200)
}
