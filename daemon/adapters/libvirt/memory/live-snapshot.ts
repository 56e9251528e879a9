import { open } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { VIR } from '../binding/constants.ts'
import type { Libvirt } from '../client.ts'

/**
 * How long a guest may stand still while the last of its memory is saved. QEMU stops it as soon as what is left takes no
 * longer than that by the speed so far; QEMU's own value of 300 ms is hundreds of megabytes into a file.
 */
const pauseMs = 20
/** So many passes over what the guest has changed since the last one are made before it may stand still for longer. */
const patientPasses = 3
/** The longest pause that QEMU takes. */
const longestPauseMs = 2_000_000
/** How often what was written is flushed to the disk. */
const flushEveryMs = 20

/**
 * Takes a snapshot with memory of a running domain. With KVM, the memory is saved while the guest runs, and what it
 * changes meanwhile is saved again, pass by pass, with a short pause at the end. A guest that changes memory faster than
 * it is saved may stand still four times as long at each further pass, so that the snapshot always comes to an end.
 *
 * An emulated guest stands still until all of its memory is saved. QEMU's emulator may write to a page through a shortcut
 * that it set up before the pages changed so far were counted (cpu_physical_memory_sync_dirty_bitmap leaves the
 * emulator's TLB as it is), and what is written that way after the count is missing from the snapshot.
 *
 * At the end, while the guest stands still, QEMU flushes the disk and libvirt the memory's file. So both are flushed all
 * the time, which leaves little to be flushed then.
 * @param isEmulated whether the guest runs without KVM @param files the paths of the memory's file and of the disk
 */
export async function snapshotMemory(
  libvirt: Libvirt,
  uuid: string,
  description: string,
  flags: number,
  isEmulated: boolean,
  files: readonly string[],
): Promise<void> {
  const unwatch = isEmulated ? () => {} : await limitPause(libvirt, uuid)
  const ended = new AbortController()
  const flushed = Promise.all(files.map((file) => keepFlushed(file, ended.signal)))
  try {
    await libvirt.call.domainSnapshot(uuid, description, isEmulated ? flags : flags | VIR.DOMAIN_SNAPSHOT_CREATE_LIVE)
  } finally {
    unwatch()
    ended.abort()
    await flushed
  }
}

/** Keeps the pause of the domain's next snapshot short, for as long as that can come to an end. @returns stops it */
async function limitPause({ call, onEvent }: Libvirt, uuid: string): Promise<() => void> {
  await call.domainSetMaxDowntime(uuid, pauseMs)
  return onEvent((event) => {
    if (event.type !== 'memory-pass' || event.uuid !== uuid || event.pass <= patientPasses) return
    // The snapshot may have ended before that is heard.
    call.domainSetMaxDowntime(uuid, longerPauseMs(event.pass)).catch(() => {})
  })
}

/** Returns how long a guest may stand still after this pass over its memory. Pure. */
export function longerPauseMs(pass: number): number {
  return Math.min(pauseMs * 4 ** Math.max(0, pass - patientPasses), longestPauseMs)
}

/** Flushes what is written to a file, which may not exist yet, until the signal. */
async function keepFlushed(path: string, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const file = await open(path, 'r').catch(() => undefined)
    await file?.datasync().catch(() => {})
    await file?.close()
    await delay(flushEveryMs, undefined, { signal }).catch(() => {})
  }
}
