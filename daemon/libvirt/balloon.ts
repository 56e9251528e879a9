import type { Libvirt } from './client.ts'
import { VIR } from './constants.ts'
import type { LibvirtEvent } from './event.ts'

/**
 * Has a running guest give up memory until it is left with so much, and then gives all of it back: what the guest had
 * freed, however scattered, is then the box's, and is not there to be saved.
 * @param leftMiB what it keeps for a moment: more than it uses @param fullMiB what it has before and afterwards
 * @param signal ends it early: after a while, or when somebody wants the guest
 */
export async function pulse(
  libvirt: Libvirt,
  uuid: string,
  leftMiB: number,
  fullMiB: number,
  signal: AbortSignal,
): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const unwatch = libvirt.onEvent((event) => {
    if (event.type === 'disconnected' || isOver(event, uuid, leftMiB)) resolve()
  })
  signal.addEventListener('abort', () => resolve(), { once: true })
  try {
    if (signal.aborted) return
    await libvirt.call.domainSetMemory(uuid, leftMiB * 1024, VIR.DOMAIN_AFFECT_LIVE)
    await promise
  } finally {
    unwatch()
    await libvirt.call.domainSetMemory(uuid, fullMiB * 1024, VIR.DOMAIN_AFFECT_LIVE)
  }
}

function isOver(event: LibvirtEvent, uuid: string, leftMiB: number): boolean {
  if (!('uuid' in event) || event.uuid !== uuid) return false
  return event.type === 'balloon' ? event.actualKiB <= leftMiB * 1024 : event.type === 'lifecycle'
}
