import { setTimeout as delay } from 'node:timers/promises'
import { VIR } from './binding/constants.ts'
import type { Libvirt } from './client.ts'

const lookMs = 50

/**
 * Inflates a running guest's balloon until the guest has `leftMiB`, and deflates it again. Memory that the guest had
 * freed, however scattered, then belongs to the box and need not be saved. Resolves when the guest has taken its memory
 * back: a guest that is saved earlier would go on deflating in each of its forks.
 * @param leftMiB what the guest keeps in between, which must be more than it uses
 * @param fullMiB what it has before and after @param squeezeMs the longest time for inflating
 * @param signal aborts both steps immediately
 */
export async function pulse(
  libvirt: Libvirt,
  uuid: string,
  leftMiB: number,
  fullMiB: number,
  squeezeMs: number,
  signal: AbortSignal,
): Promise<void> {
  const set = (mib: number) => libvirt.call.domainSetMemory(uuid, mib * 1024, VIR.DOMAIN_AFFECT_LIVE)
  /**
   * Waits until the guest's memory `fits`, or the time is over. It polls: QEMU sends at most one balloon event a
   * second.
   */
  const until = async (fits: (mib: number) => boolean, timeoutMs: number) => {
    const over = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
    while (!over.aborted && !fits((await libvirt.call.domainBalloon(uuid)) / 1024))
      await delay(lookMs, undefined, { signal: over }).catch(() => {})
  }
  if (signal.aborted) return
  try {
    await set(leftMiB)
    await until((mib) => mib <= leftMiB, squeezeMs)
  } finally {
    await set(fullMiB)
    await until((mib) => mib >= fullMiB, squeezeMs + 2000)
  }
}
