import { fault } from '../../lib/async/fault.ts'
import { CroftError, diskFull } from '../../lib/error.ts'
import type { Vm } from '../../store/index.ts'
import { type Box, layerOf, stateOf } from '../box.ts'
import { hasMemory } from '../live.ts'
import { execute, lockOf } from '../operation/engine.ts'
import { perBox } from '../per-box.ts'
import { makeId } from '../vm/identity.ts'
import { compactionFaultPoint, compactionOperation, filesLeft } from './compaction-operation.ts'
import { type Compaction, chainOf, nextCompaction } from './compaction-plan.ts'
import { collectGarbage } from './garbage.ts'
import { beingRead } from './holds.ts'
import { withRoom } from './room.ts'

/** The merge that is under way or about to begin. */
const merging = perBox(() => ({ current: undefined as Compaction | undefined }))

/** How long a failed merge rests before it is retried; a shorter time when it failed for lack of disk space. */
const restMs = 10 * 60_000
const noRoomMs = 5_000

/** Disk space to leave free beside what a merge may take, because VMs write meanwhile. */
const marginBytes = 128 * 2 ** 20

/**
 * Keeps the chains of layers short, in the background: one merge at a time. A merge is aborted immediately when
 * somebody wants one of its VMs, or when disk space gets short. Looks for work whenever an operation on a VM has
 * ended, or a VM has started or ended.
 * @returns stops it, and aborts the merge that is under way
 */
export function keepCompacted(box: Box): () => Promise<void> {
  let stopped = false
  /** Layers whose merge failed recently. */
  const failed = new Set<string>()
  /** Layers whose merge failed for lack of disk space, which has been logged already. */
  const told = new Set<string>()
  let under: Promise<void> | undefined

  const look = () => {
    if (stopped || under) return
    const merge = findCompaction(box, failed)
    if (!merge) return
    const work = compact(box, merge)
    if (!work) return
    merging(box).current = merge
    under = work
      .catch((err) => {
        if (err instanceof CroftError && err.code === 'cancelled') return
        const noRoom = err instanceof CroftError && err.code === 'disk-full'
        if (!noRoom || !told.has(merge.layer)) box.log.warn({ merge, err }, 'layers could not be merged; retried later')
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
        merging(box).current = undefined
        look()
      })
  }
  const unwatch = [box.locks.watch(look), box.live.watch(look)]
  look()
  return async () => {
    stopped = true
    for (const stop of unwatch) stop()
    const { current } = merging(box)
    if (current) await box.locks.interrupt([current.layer])
    await under
  }
}

function findCompaction(box: Box, except: ReadonlySet<string>): Compaction | undefined {
  const runs = (vm: Vm) => hasMemory(box.live.get(vm.uuid))
  // A guest that is still starting, or stands still, can't be asked anything, so it counts as busy.
  const busy = (vm: Vm) => box.locks.isLocked(vm.id) || (runs(vm) && stateOf(box, vm) !== 'awake')
  return nextCompaction(box.store.state, runs, busy, except.union(beingRead(box)))
}

/** Runs a merge. @returns undefined when somebody else holds or wants one of its VMs now */
function compact(box: Box, { vms, ...merge }: Compaction): Promise<void> | undefined {
  return box.locks.runPreemptible([merge.layer, ...vms], async (signal) => {
    const operation = { id: makeId('op'), kind: 'merge', startedAt: new Date().toISOString(), ...merge } as const
    await checkRoom(box, operation)
    const left = filesLeft(box.store.state, operation)
    const began = performance.now()
    await withRoom(box, 'a merge', signal, (signal) =>
      execute(box, compactionOperation, operation, (state) => state, undefined, signal),
    )
    fault(compactionFaultPoint)
    for (const file of left) await box.files.remove(file)
    // Layers whose last user was removed meanwhile had to stay during the merge.
    await collectGarbage(box)
    box.log.info({ ...merge, ms: Math.round(performance.now() - began) }, 'merged layers')
  })
}

/** Checks the disk space: a merge that filled the disk would pause every VM. @throws CroftError `disk-full` */
async function checkRoom(box: Box, { way, layer, gone }: Pick<Compaction, 'way' | 'layer' | 'gone'>): Promise<void> {
  // What is read is written again: into the lowest layer, into the layer itself, or into a copy.
  const read = { commit: [layer, ...gone.slice(0, -1)], rebase: gone, copy: [layer, ...gone] }[way]
  const sizes = await Promise.all(read.map((id) => box.files.usage(layerOf(box.store.state, id).file)))
  const most = sizes.reduce((sum, size) => sum + size, 0)
  const free = await box.files.freeBytes()
  if (free >= most + marginBytes) return
  throw diskFull({ cause: new Error(`Merging layers may take ${most} bytes; ${free} are free.`) })
}

/**
 * Does `work`, which puts a new disk on a layer or reads it. A merge that changes that layer or one beneath it, or that
 * one of them goes in, is aborted first, and none begins before `work` has put its record into the store.
 */
export async function onLayer<T>(box: Box, layer: string, work: () => Promise<T>): Promise<T> {
  for (;;) {
    const ending = compactionEnding(box, new Set(chainOf(box.store.state, layer)))
    if (!ending) return work()
    await ending
  }
}

function compactionEnding(box: Box, chain: ReadonlySet<string>): Promise<unknown> | undefined {
  const touches = ({ layer, gone }: Pick<Compaction, 'layer' | 'gone'>) =>
    chain.has(layer) || gone.some((id) => chain.has(id))
  const { current } = merging(box)
  const interrupted = current && touches(current) ? box.locks.interrupt([current.layer]) : undefined
  if (interrupted) return interrupted
  const open = Object.values(box.store.state.operations).find(
    (operation) => operation.kind === 'merge' && touches(operation),
  )
  if (!open) return undefined
  return box.locks.run(lockOf(open), () => box.recoverIfOpen(box, open))
}
