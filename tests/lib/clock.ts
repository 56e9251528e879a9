import { existsSync } from 'node:fs'
import { readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/**
 * A time of day that a test sets for a running daemon and its children only (https://github.com/wolfcw/libfaketime).
 * The daemon's other clocks, and all clocks of other processes, are not changed.
 */
export class Clock {
  readonly #path = join(tmpdir(), `croft-clock-${process.pid}`)
  #aheadMs = 0

  /** Variables for the daemon's environment. */
  readonly env = {
    LD_PRELOAD: '/usr/$LIB/faketime/libfaketimeMT.so.1',
    FAKETIME_TIMESTAMP_FILE: this.#path,
    FAKETIME_NO_CACHE: '1',
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
    NO_FAKE_STAT: '1',
  }

  now = (): number => Date.now() + this.#aheadMs

  /** @param hours ahead of the true time */
  async set(hours: number): Promise<void> {
    await writeFile(this.#path, `${hours < 0 ? '' : '+'}${hours * 3600}\n`)
    this.#aheadMs = hours * 3_600_000
  }

  /** Also removes what killed processes left of the library in shared memory. */
  async remove(): Promise<void> {
    await rm(this.#path, { force: true })
    for (const file of await readdir('/dev/shm')) {
      const [, pid] = /faketime_(?:shm|sem)_(\d+)$/.exec(file) ?? []
      if (pid && !existsSync(`/proc/${pid}`)) await rm(join('/dev/shm', file), { force: true })
    }
  }
}
