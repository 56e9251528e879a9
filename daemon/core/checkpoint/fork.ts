import type { Checkpoint, Vm } from '../../store/index.ts'
import { type Box, findVm, type Report, stateOf } from '../box.ts'
import { collectGarbage } from '../layer/garbage.ts'
import { acquire, release } from '../layer/holds.ts'
import { noteCopy } from '../memory-base/own.ts'
import { exclusively } from '../operation/exclusively.ts'
import { perBox } from '../per-box.ts'
import { mapsBases } from '../sleep/memory.ts'
import { type Made, makeVm } from '../vm/create.ts'
import { checkNewName, descriptionOf } from '../vm/record.ts'
import type { VmState } from '../vm/state.ts'
import { findCheckpoint } from './find.ts'
import { take } from './take.ts'

/**
 * Checkpoints that are about to be taken for copies, by the VM's id and whether its memory is copied. Copies that are
 * requested meanwhile share them.
 */
const copying = perBox(() => new Map<string, Promise<{ checkpoint: Checkpoint; source: Vm; state: VmState }>>())

export interface CopyOptions {
  name?: string | undefined
  /** Copy only the disk: the copy boots. */
  diskOnly?: boolean | undefined
}

/**
 * Copies a VM. Of a running one, disk and memory are copied as of one instant, and the copy goes on running under a name
 * of its own. The copy of a
 * sleeping VM is asleep, that of a stopped VM is stopped. Copies requested at the same time share one checkpoint.
 */
export async function copyVm(
  box: Box,
  name: string,
  options: CopyOptions,
  report: Report,
  signal?: AbortSignal,
): Promise<Made> {
  const { id } = findVm(box.store.state, name)
  if (options.name !== undefined) checkNewName(box.store.state, options.name)
  const memory = !options.diskOnly
  const key = `${id} ${memory}`
  let coming = copying(box).get(key)
  if (!coming) {
    coming = exclusively(box, id, async () => {
      copying(box).delete(key)
      // Look again: while this waited for the lock, the VM may have been put to sleep or renamed.
      const source = findVm(box.store.state, id)
      const state = stateOf(box, source)
      const checkpoint = await take(box, id, { kind: 'copy', label: 'copy', memory }, report)
      acquire(box, checkpoint.id)
      return { checkpoint, source, state }
    })
    copying(box).set(key, coming)
    coming.then(
      // Held until all copies that share it have acquired it themselves.
      ({ checkpoint }) => setImmediate(() => releaseAndCollect(box, checkpoint.id)),
      () => copying(box).delete(key),
    )
  }
  const { checkpoint, source, state } = await coming
  acquire(box, checkpoint.id)
  try {
    const made = await forkCheckpoint(
      box,
      checkpoint,
      source,
      options.name,
      { asleep: state === 'asleep' && memory, power: state === 'stopped' || state === 'crashed' ? 'off' : 'on' },
      report,
      signal,
    )
    noteCopied(box, checkpoint, state === 'asleep' ? undefined : id)
    return made
  } finally {
    releaseAndCollect(box, checkpoint.id)
  }
}

/**
 * Notes that a copy was made, if it has memory. A base that is made of that memory needs the checkpoint meanwhile.
 * @param running the VM that it was made from, by its id, if that runs on
 */
function noteCopied(box: Box, { id, memory }: Checkpoint, running?: string): void {
  const copied = box.store.state.memories[memory ?? '']
  const making = copied && mapsBases(box) ? noteCopy(box, running ?? copied.id, copied) : undefined
  if (!making) return
  acquire(box, id)
  void making.then(() => releaseAndCollect(box, id))
}

/** Garbage is collected in the background; callers do not wait for it. */
function releaseAndCollect(box: Box, id: string): void {
  release(box, id)
  collectGarbage(box).catch((err) => box.log.error({ err }, 'could not collect'))
}

/** Makes a new VM from a checkpoint of another VM. */
export async function forkFrom(
  box: Box,
  name: string,
  label: string,
  as: string | undefined,
  report: Report,
): Promise<Made> {
  const source = findVm(box.store.state, name)
  const checkpoint = findCheckpoint(box.store.state, source, label)
  acquire(box, checkpoint.id)
  try {
    const made = await forkCheckpoint(box, checkpoint, source, as, { asleep: false, power: 'on' }, report)
    noteCopied(box, checkpoint)
    return made
  } finally {
    releaseAndCollect(box, checkpoint.id)
  }
}

function forkCheckpoint(
  box: Box,
  checkpoint: Checkpoint,
  source: Vm,
  name: string | undefined,
  how: { asleep: boolean; power: Vm['power'] },
  report: Report,
  signal?: AbortSignal,
): Promise<Made> {
  const { image, limits, layer } = checkpoint
  const described = { ...descriptionOf(source), name, image, limits }
  return makeVm(box, { ...described, ...how, layer, from: checkpoint }, report, signal)
}
