import type { Libvirt } from './client.ts'
import { VIR } from './constants.ts'

/**
 * Has a running guest give up memory until it is left with so much, and then have all of it again: what the guest had
 * freed, however scattered, is then the box's, and is not there to be saved. Resolves when the guest has taken its memory
 * back: one that is saved before goes on with that in every fork of it.
 * @param leftMiB what it keeps for a moment: more than it uses @param fullMiB what it has before and afterwards
 * @param squeezeMs for how long it gives up memory at most @param wanted ends both at once
 */
export async function pulse(
  libvirt: Libvirt,
  uuid: string,
  leftMiB: number,
  fullMiB: number,
  squeezeMs: number,
  wanted: AbortSignal,
): Promise<void> {
  const set = (mib: number) => libvirt.call.domainSetMemory(uuid, mib * 1024, VIR.DOMAIN_AFFECT_LIVE)
  /** Until the guest's memory fits, or the time is over: QEMU tells of its balloon at most once a second. */
  const until = async (fits: (mib: number) => boolean, timeoutMs: number) => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const unwatch = libvirt.onEvent((event) => {
      if (event.type === 'disconnected') resolve()
      if (!('uuid' in event) || event.uuid !== uuid) return
      if (event.type === 'lifecycle' || (event.type === 'balloon' && fits(event.actualKiB / 1024))) resolve()
    })
    const over = AbortSignal.any([wanted, AbortSignal.timeout(timeoutMs)])
    over.addEventListener('abort', () => resolve(), { once: true })
    if (over.aborted) resolve()
    await promise
    unwatch()
  }
  if (wanted.aborted) return
  const squeezed = until((mib) => mib <= leftMiB, squeezeMs)
  try {
    await set(leftMiB)
    await squeezed
  } finally {
    const back = until((mib) => mib >= fullMiB, squeezeMs + 2000)
    await set(fullMiB)
    await back
  }
}
