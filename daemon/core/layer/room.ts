import { repeat } from '../../lib/async/interval.ts'
import { diskFull } from '../../lib/error.ts'
import type { Box } from '../box.ts'

/** Work in the background is aborted when less disk space than this is free. */
const leastFreeBytes = 64 * 2 ** 20
const lookMs = 100

/**
 * Runs work that fills files if there is disk space, and aborts it when that runs short, before VMs are paused for it.
 * @param what the work, for the log @param signal aborted to end the work too
 * @throws CroftError `disk-full`, or what the work throws
 */
export async function withRoom(
  box: Box,
  what: string,
  signal: AbortSignal,
  work: (ends: AbortSignal) => Promise<void>,
): Promise<void> {
  const tight = new AbortController()
  const isTight = async () => (await box.files.freeBytes()) < leastFreeBytes
  if (await isTight()) throw diskFull()
  const stop = repeat(lookMs, `check the disk space for ${what}`, box.log, async () => {
    if (await isTight()) tight.abort()
  })
  try {
    await work(AbortSignal.any([signal, tight.signal]))
  } catch (cause) {
    throw !signal.aborted && (tight.signal.aborted || (await isTight())) ? diskFull({ cause }) : cause
  } finally {
    stop()
  }
}
