import { setTimeout as delay } from 'node:timers/promises'
import { VIR } from './binding/constants.ts'
import type { Libvirt } from './client.ts'

const lookMs = 50

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
  /** Until the guest's memory fits, or the time is over. It is asked for: of its balloon QEMU tells once a second at most. */
  const until = async (fits: (mib: number) => boolean, timeoutMs: number) => {
    const over = AbortSignal.any([wanted, AbortSignal.timeout(timeoutMs)])
    while (!over.aborted && !fits((await libvirt.call.domainBalloon(uuid)) / 1024))
      await delay(lookMs, undefined, { signal: over }).catch(() => {})
  }
  if (wanted.aborted) return
  try {
    await set(leftMiB)
    await until((mib) => mib <= leftMiB, squeezeMs)
  } finally {
    await set(fullMiB)
    await until((mib) => mib >= fullMiB, squeezeMs + 2000)
  }
}
