import { closeSync, openSync } from 'node:fs'
import { access, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { CroftError } from '../../../lib/error.ts'
import { runProgram } from '../../../lib/process/run.ts'
import type { MemoryBase } from '../../../store/index.ts'
import { BaseReader, tableAt } from './base-file.ts'

/** The library that maps a base into QEMU (map-base.c), as tests/run and scripts/release.ts build it. */
export const library = join(import.meta.dirname, '../../../../build/map-base.so')

/** Checks memory bases before guests run on them. */
export class MemoryBases {
  readonly #folder: string
  /** What each file was when its digest was right, by path. */
  readonly #checked = new Map<string, string>()

  /** @param folder the state folder */
  constructor(folder: string) {
    this.#folder = folder
  }

  /** Throws CroftError `unavailable` when Croft has no library to map bases with. */
  async checkLibrary(): Promise<void> {
    await access(library).catch((cause) => {
      throw new CroftError('unavailable', `${library} is missing: this Croft was built without it.`, { cause })
    })
  }

  path({ file }: MemoryBase): string {
    return join(this.#folder, file)
  }

  /**
   * Checks that a base is what it was when it was made. Its digest is computed at its first use, and again whenever its
   * file has changed. @param anew computes the digest in any case
   * @throws CroftError `memory-unusable`: missing, cut short, changed, writable by others than root
   */
  async check(base: MemoryBase, anew = false): Promise<BaseReader> {
    const path = this.path(base)
    const found = await stat(path, { bigint: true }).catch((cause) => {
      throw unusable(`there is no ${base.file}`, cause)
    })
    if (!found.isFile() || found.uid !== 0n || (found.mode & 0o222n) !== 0n)
      throw unusable(`${base.file} can be written by others than root`)
    const reader = read(path)
    if (reader.memoryBytes !== base.memoryMiB * 2 ** 20) throw unusable(`${base.file} is for memory of another size`)
    if (reader.fileBytes !== Number(found.size)) throw unusable(`${base.file} is cut short`)
    const identity = [found.dev, found.ino, found.size, found.mtimeNs, found.ctimeNs].join(' ')
    if (anew || this.#checked.get(path) !== identity) {
      const words = ['-o', 'pipefail', '-c', 'tail -c "+$2" "$1" | sha256sum', 'bash', path, String(tableAt + 1)]
      const { stdout } = await runProgram('bash', words, { timeoutMs: 10 * 60_000 })
      if (!stdout.startsWith(`${reader.sha256} `)) throw unusable(`${base.file} has been changed`)
      this.#checked.set(path, identity)
    }
    return reader
  }

  /** Whether a process has all of a base mapped, as /proc/PID/maps says: proc_pid_maps(5). */
  async isMapped(pid: number, base: MemoryBase): Promise<boolean> {
    const path = this.path(base)
    const [{ storedBytes }, { ino }, maps] = await Promise.all([
      this.check(base),
      stat(path),
      readFile(`/proc/${pid}/maps`, 'utf8'),
    ])
    const lengths = maps.split('\n').map((line) => {
      const [, from, to, inode] = /^([0-9a-f]+)-([0-9a-f]+) rw-p [0-9a-f]+ \S+ (\d+) /.exec(line) ?? []
      return Number(inode) === ino ? Number.parseInt(to!, 16) - Number.parseInt(from!, 16) : 0
    })
    return lengths.reduce((sum, bytes) => sum + bytes, 0) === storedBytes
  }
}

function read(path: string): BaseReader {
  const fd = openSync(path, 'r')
  try {
    return new BaseReader(fd)
  } catch (error) {
    if (error instanceof RangeError) throw unusable(error.message, error)
    throw error
  } finally {
    closeSync(fd)
  }
}

function unusable(why: string, cause?: unknown): CroftError {
  return new CroftError('memory-unusable', `Memory that VMs share can’t be used: ${why}.`, { cause })
}
