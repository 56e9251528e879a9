import { rm, stat, statfs, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { runProgram } from '../../lib/run.ts'

/** How much is kept: bytes, or that part of a small disk. */
const most = { bytes: 256 * 2 ** 20, part: 0.01 }
/** It is given away in so many pieces: VMs that want to write would take all that is let go at once. */
const pieces = 16

/**
 * Room on the disk that VMs can't fill: a file that takes it up, and is made shorter when Croft itself has to write
 * something down on a disk that is full.
 */
export class DiskReserve {
  readonly #folder: string
  readonly #path: string

  /** @param folder the state folder */
  constructor(folder: string) {
    this.#folder = folder
    this.#path = join(folder, 'disk-reserve')
  }

  /** Lets a piece of it go. @returns false when there is none left */
  async give(): Promise<boolean> {
    const [has, { wanted }] = await Promise.all([this.#size(), this.#disk()])
    if (has === 0) return false
    await truncate(this.#path, Math.max(0, has - Math.ceil(wanted / pieces)))
    return true
  }

  /** Makes it whole where there is room for that. @returns whether it is */
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

  /** How large it is to be on this disk, and what is free there; bytes. */
  async #disk(): Promise<{ wanted: number; free: number }> {
    const { blocks, bavail, bsize } = await statfs(this.#folder)
    return { wanted: Math.floor(Math.min(most.bytes, blocks * bsize * most.part)), free: bavail * bsize }
  }
}
