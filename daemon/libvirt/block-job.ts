import { CroftError } from '../error.ts'
import type { Libvirt } from './client.ts'
import { VIR } from './constants.ts'
import { toCroftError, unavailable } from './errors.ts'
import type { LibvirtEvent } from './event.ts'

/**
 * Starts a job on a running domain's disk and waits for its end, which libvirt tells by an event. One that has made its
 * copy and keeps it up to date has the domain turn to it.
 *
 * A commit into a read-only layer that is aborted between those two moments leaves QEMU with the layer open for writing
 * (its mirror job makes it read-only again only when it turned to it or failed; seen with QEMU 7.2): then it is done again,
 * to its end.
 * @param wanted ends the job, unless it is about to end by itself
 * @throws CroftError `cancelled` on the signal or when the domain ends, `conflict` when it fails, `unavailable` when libvirt
 * is lost: the job then goes on
 */
export async function runBlockJob(
  libvirt: Libvirt,
  uuid: string,
  start: () => Promise<void>,
  wanted?: AbortSignal,
): Promise<void> {
  try {
    const how = await awaitBlockJob(libvirt, uuid, start, wanted)
    if (how === 'completed') return
    if (how === 'cancelled when ready') return await runBlockJob(libvirt, uuid, start)
    if (wanted?.aborted || how === 'stopped')
      throw new CroftError('cancelled', 'Work on a disk was ended with its VM, or for it.')
    throw new CroftError('conflict', `Work on a disk did not come to its end: ${how}.`)
  } catch (error) {
    throw toCroftError(error)
  }
}

/** @returns how it ended */
async function awaitBlockJob(
  libvirt: Libvirt,
  uuid: string,
  start: () => Promise<void>,
  wanted?: AbortSignal,
): Promise<string> {
  const ended = Promise.withResolvers<string>()
  ended.promise.catch(() => {})
  let ready = false
  const unwatch = libvirt.onEvent((event) => {
    if (event.type === 'disconnected') ended.reject(unavailable(event.reason))
    const how = endOf(event, uuid)
    if (how === 'ready') pivot()
    else if (how) ended.resolve(ready && how === 'cancelled' ? 'cancelled when ready' : how)
  })
  const pivot = () => {
    ready = true
    libvirt.call.domainBlockJobAbort(uuid, 'vda', VIR.DOMAIN_BLOCK_JOB_ABORT_PIVOT).catch((error) => {
      // Otherwise it is being aborted, and tells so.
      if (!wanted?.aborted) ended.reject(error)
    })
  }
  // A job that has ended meanwhile can't be aborted, and has told so.
  const onWanted = () => {
    if (!ready) libvirt.call.domainBlockJobAbort(uuid, 'vda').catch(() => {})
  }
  try {
    await start()
    wanted?.addEventListener('abort', onWanted, { once: true })
    if (wanted?.aborted) onWanted()
    return await ended.promise
  } finally {
    unwatch()
    wanted?.removeEventListener('abort', onWanted)
  }
}

function endOf(event: LibvirtEvent, uuid: string): string | undefined {
  if (!('uuid' in event) || event.uuid !== uuid) return undefined
  if (event.type === 'block-job') return event.status
  return event.type === 'lifecycle' && event.event === 'stopped' ? 'stopped' : undefined
}
