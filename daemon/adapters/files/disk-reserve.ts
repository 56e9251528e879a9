import { rm, stat, statfs, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { runProgram } from '../../lib/process/run.ts'

/** How much is kept: this many bytes, or this part of a small disk. */
const most = { bytes: 256 * 2 ** 20, part: 0.01 }
/**
 * It is released in this many pieces, because VMs that are waiting to write would take all that is released at one
 * time.
 */
const pieces = 16

/**
 * Room on the disk that VMs can't fill: a file that takes it up, and that is truncated when Croft itself has to write
 * to a full disk.
 */
export class DiskReserve {
  readonly #folder: string
  readonly #path: string

  /** @param folder the state folder */
  constructor(folder: string) {
    this.#folder = folder
    this.#path = join(folder, 'disk-reserve')
  }

  /** Releases a piece of the reserve. @returns false when nothing is left */
  async give(): Promise<boolean> {
    const [has, { wanted }] = await Promise.all([this.#size(), this.#disk()])
    if (has === 0) return false
    await truncate(this.#path, Math.max(0, has - Math.ceil(wanted / pieces)))
    return true
  }

  /** Restores the reserve to its full size if there is room for that. @returns whether it has its full size */
  async keep(): Promise<boolean> {
    const [has, { wanted, free }] = await Promise.all([this.#size(), this.#disk()])
    if (has >= wanted) return true
    if (free < 2 * (wanted - has)) return false
    try {
      await runProgram('fallocate', ['--posix', '--length', `${wanted}`, this.#path])
    } catch (error) {
      if (has === 0) await rm(this.#path, { force: true })
      throw error
    }
    return true
  }

  async #size(): Promise<number> {
    return stat(this.#path).then(
      ({ size }) => size,
      () => 0,
    )
  }

  /** Returns how large the reserve should be on this disk, and what is free there, in bytes. */
  async #disk(): Promise<{ wanted: number; free: number }> {
    const { blocks, bavail, bsize } = await statfs(this.#folder)
    return { wanted: Math.floor(Math.min(most.bytes, blocks * bsize * most.part)), free: bavail * bsize }
  }
}
