import { CroftError, diskFull } from '../../lib/error.ts'
import { fault } from '../../lib/fault.ts'
import { repeat } from '../../lib/interval.ts'
import type { Vm } from '../../store/index.ts'
import { type Box, layerOf, stateOf } from '../box.ts'
import { execute, lockOf } from '../operation/engine.ts'
import { makeId } from '../vm/identity.ts'
import { compactionFaultPoint, compactionOperation, filesLeft } from './compaction-operation.ts'
import { type Compaction, chainOf, nextCompaction } from './compaction-plan.ts'
import { collectGarbage } from './garbage.ts'

/** A merge that failed is not tried again for so long; one for which there is no room, for less. */
const restMs = 10 * 60_000
const noRoomMs = 5_000

/** What is left free beside what a merge may take: VMs write meanwhile. */
const marginBytes = 128 * 2 ** 20
/** With less than that free, a merge that is under way ends. */
const leastFreeBytes = 64 * 2 ** 20
const roomLookMs = 100

/**
 * Keeps the chains of layers short, in the background: one merge at a time, each ended at once when somebody wants one
 * of its VMs, or when room gets short. Looks whenever something was done with a VM, or one has started or ended.
 * @returns stops it, and ends the merge that is under way
 */
export function keepCompacted(box: Box): () => Promise<void> {
  let stopped = false
  /** Layers whose merge failed a short while ago. */
  const failed = new Set<string>()
  /** Those for which there was no room, as the log says already. */
  const told = new Set<string>()
  let under: Promise<void> | undefined
  let current: Compaction | undefined

  const look = () => {
    if (stopped || under) return
    const merge = findCompaction(box, failed)
    if (!merge) return
    const merging = compact(box, merge)
    if (!merging) return
    current = merge
    under = merging
      .catch((err) => {
        if (err instanceof CroftError && err.code === 'cancelled') return
        const noRoom = err instanceof CroftError && err.code === 'disk-full'
        if (!noRoom || !told.has(merge.layer))
          box.log.warn({ merge, err }, 'layers could not be merged; tried again later')
        for (const layer of told) if (!(layer in box.store.state.layers)) told.delete(layer)
        if (noRoom) told.add(merge.layer)
        failed.add(merge.layer)
        setTimeout(
          () => {
            failed.delete(merge.layer)
            look()
          },
          noRoom ? noRoomMs : restMs,
        ).unref()
      })
      .finally(() => {
        under = undefined
        look()
      })
  }
  const unwatch = [box.locks.watch(look), box.live.watch(look)]
  look()
  return async () => {
    stopped = true
    for (const stop of unwatch) stop()
    if (current) await box.locks.interrupt([current.layer])
    await under
  }
}

function findCompaction(box: Box, except: ReadonlySet<string>): Compaction | undefined {
  const runs = (vm: Vm) => ['running', 'paused'].includes(box.live.get(vm.uuid)?.domain ?? 'off')
  // A guest that has begun and can't be asked yet is left alone, as one with which something is being done.
  const busy = (vm: Vm) => box.locks.isLocked(vm.id) || (runs(vm) && stateOf(box, vm) !== 'awake')
  return nextCompaction(box.store.state, runs, busy, except)
}

/** @returns undefined when somebody wants one of its VMs just now */
function compact(box: Box, { vms, ...merge }: Compaction): Promise<void> | undefined {
  return box.locks.runPreemptible([merge.layer, ...vms], async (wanted) => {
    const operation = { id: makeId('op'), kind: 'merge', startedAt: new Date().toISOString(), ...merge } as const
    await checkRoom(box, operation)
    const left = filesLeft(box.store.state, operation)
    const began = performance.now()
    await withRoom(box, wanted, (signal) =>
      execute(box, compactionOperation, operation, (state) => state, undefined, signal),
    )
    fault(compactionFaultPoint)
    for (const file of left) await box.files.remove(file)
    // What was taken away meanwhile had to stay for as long as it was merged.
    await collectGarbage(box)
    box.log.info({ ...merge, ms: Math.round(performance.now() - began) }, 'merged layers')
  })
}

/** A merge that fills the disk would have every VM stand still. @throws CroftError `disk-full` */
async function checkRoom(box: Box, { way, layer, gone }: Pick<Compaction, 'way' | 'layer' | 'gone'>): Promise<void> {
  // What is written: into the lowest what lies above it, into the layer what lies beneath it, or a copy with all of it.
  const read = { commit: [layer, ...gone.slice(0, -1)], rebase: gone, copy: [layer, ...gone] }[way]
  const sizes = await Promise.all(read.map((id) => box.files.usage(layerOf(box.store.state, id).file)))
  const most = sizes.reduce((sum, size) => sum + size, 0)
  const free = await box.files.freeBytes()
  if (free >= most + marginBytes) return
  throw diskFull({ cause: new Error(`Merging layers may take ${most} bytes; ${free} are free.`) })
}

/**
 * Runs a merge, and ends it when others take the room, before VMs stand still.
 * @param wanted ends it too @throws CroftError `disk-full`, or what the merge throws
 */
async function withRoom(box: Box, wanted: AbortSignal, work: (ends: AbortSignal) => Promise<void>): Promise<void> {
  const tight = new AbortController()
  const isTight = async () => (await box.files.freeBytes()) < leastFreeBytes
  const stop = repeat(roomLookMs, 'look how much room a merge has', box.log, async () => {
    if (await isTight()) tight.abort()
  })
  try {
    await work(AbortSignal.any([wanted, tight.signal]))
  } catch (cause) {
    throw !wanted.aborted && (tight.signal.aborted || (await isTight())) ? diskFull({ cause }) : cause
  } finally {
    stop()
  }
}

/**
 * Does what puts a new disk on a layer. A merge in the layers beneath it is ended first, and none begins before `work`
 * has put its record into the store.
 */
export async function onLayer<T>(box: Box, layer: string, work: () => Promise<T>): Promise<T> {
  for (;;) {
    const ending = compactionEnding(box, chainOf(box.store.state, layer))
    if (!ending) return work()
    await ending
  }
}

function compactionEnding(box: Box, chain: string[]): Promise<unknown> | undefined {
  const interrupted = box.locks.interrupt(chain)
  if (interrupted) return interrupted
  const open = Object.values(box.store.state.operations).find(
    (operation) => operation.kind === 'merge' && chain.includes(operation.layer),
  )
  if (!open) return undefined
  return box.locks.run(lockOf(open), () => box.recoverIfOpen(box, open))
}
