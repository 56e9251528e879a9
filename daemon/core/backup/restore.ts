import { CroftError } from '../../lib/error.ts'
import type { Checkpoint } from '../../store/index.ts'
import { type Box, findVm, type Report, vmsOf } from '../box.ts'
import { checkpointsOf } from '../checkpoint/find.ts'
import { restoreVm } from '../checkpoint/restore.ts'
import { onLayer } from '../layer/compaction.ts'
import { collectGarbage } from '../layer/garbage.ts'
import { acquire, release } from '../layer/holds.ts'
import { type Made, makeVm } from '../vm/create.ts'
import { editVm } from '../vm/edit.ts'
import { makeId } from '../vm/identity.ts'
import { checkNewName, descriptionOf, newName } from '../vm/record.ts'
import { removeVm } from '../vm/remove.ts'
import { type Adoption, adopt, planAdoption } from './adopt.ts'
import { record } from './back-up.ts'
import { backupsOf, findBackup, findById, type VmBackup } from './find.ts'
import { filesOf, type Manifest, manifestPath, parseManifest } from './manifest.ts'

export interface Restored {
  backup: VmBackup
  /** The VM as it came back: a new one, or the one that there is. */
  vm: string
  /** The checkpoint of what the VM was before, if there is such a VM. */
  before: Checkpoint | undefined
  cold: string | undefined
}

export interface RestoreOptions {
  /** A backup's id or a time; the newest for undefined. */
  when?: string | undefined
  /** The name of a new VM to make of it. */
  as?: string | undefined
  /** Read all of it, also what this box has. */
  whole?: boolean
}

/**
 * Brings a VM back from a backup. A VM that there is goes back to it as to a checkpoint, and what it was becomes a
 * checkpoint itself. With `as`, or when the VM is gone, a new VM is made of it. Only what this box lacks is read.
 * @throws CroftError `not-found`, `name-taken`, `unavailable`
 */
export async function restoreBackup(
  box: Box,
  name: string,
  { when, as, whole = false }: RestoreOptions,
  report: Report,
  signal: AbortSignal,
): Promise<Restored> {
  if (as !== undefined) checkNewName(box.store.state, as, 'as')
  report({ subject: name, step: 'looking for its backups', fraction: 0.05 })
  const all = await box.backups.list(signal)
  const former = when === undefined ? undefined : findById(all, when)
  const backup = former?.of.name === name ? former : findBackup(backupsOf(box.store.state, all, name), name, when)
  const manifest = parseManifest(await box.backups.read(backup.id, manifestPath, signal))
  const there = as === undefined ? box.store.state.vms[backup.of.vm] : undefined
  if (!there && as === undefined && vmsOf(box.store.state).some((vm) => vm.name === name)) {
    throw new CroftError('name-taken', `There is another VM called ${name} now.`, {
      hint: `Give the one from the backup another name: croft backup restore ${name} ${backup.id.slice(0, 8)} --as ${name}-old`,
      argument: 'as',
    })
  }
  const earlier = there && checkpointsOf(box.store.state, there).find(({ label }) => label === labelOf(manifest))
  if (earlier) acquire(box, earlier.id)
  const reuse = !whole && backup.instance === box.store.state.instance
  const checkpoint = earlier ?? (await bring(box, backup.id, manifest, there?.id ?? null, reuse, report, signal))
  try {
    if (there) {
      const { before, cold } = await restoreVm(box, there.id, checkpoint.id, report)
      return { backup, vm: findVm(box.store.state, there.id).name, before, cold }
    }
    const { vm, cold } = await makeOf(box, checkpoint, manifest, as ?? name, report, signal)
    // A VM that is back is who it was; a copy of it is shown to nobody and keeps to no schedule.
    const { schedule, sleepAfter, keepsAppointments, web } = manifest.vm
    if (as === undefined) await editVm(box, vm.id, () => ({ schedule, sleepAfter, keepsAppointments, web }))
    return { backup, vm: vm.name, before: undefined, cold }
  } finally {
    release(box, checkpoint.id)
    await collectGarbage(box)
  }
}

/**
 * Tries whether the newest backup of a VM comes back: reads all of it, makes another VM of it, waits until that can be
 * used, and deletes it. @returns the backup @throws CroftError as `restoreBackup`
 */
export async function proveBackup(box: Box, name: string, report: Report, signal: AbortSignal): Promise<VmBackup> {
  const { id } = findVm(box.store.state, name)
  const as = newName(box.store.state, undefined)
  try {
    const { backup } = await restoreBackup(box, name, { as, whole: true }, report, signal)
    await record(box, id, { provenAt: new Date().toISOString() })
    return backup
  } finally {
    if (vmsOf(box.store.state).some((vm) => vm.name === as)) await removeVm(box, as)
  }
}

/** The label of the checkpoint that a backup becomes: with its time, so that it becomes one only once. Pure. */
const labelOf = ({ takenAt }: Manifest): string =>
  `backup-${takenAt.slice(0, 19).replace('T', '-').replaceAll(':', '')}`

/**
 * Gets what the box lacks of a backup, and makes a checkpoint of it, which the caller releases.
 * @param vm id of the VM that the checkpoint will belong to @param reuse whether what the box has is not read again
 */
async function bring(
  box: Box,
  id: string,
  manifest: Manifest,
  vm: string | null,
  reuse: boolean,
  report: Report,
  signal: AbortSignal,
): Promise<Checkpoint> {
  const { adoption, release: letGo } = await planAndHold(box, manifest, reuse)
  const now = new Date().toISOString()
  const staged = `building/${makeId('bak')}`
  const { places, image } = adoption
  const wanted = [...(image ? [image.kernel, image.initrd] : []), ...places.map(({ from }) => from)]
  const checkpoint: Checkpoint = {
    ...bare(manifest, adoption.top, now),
    kind: vm === null ? 'copy' : 'backup',
    label: labelOf(manifest),
    vm,
    image: image?.record.id ?? manifest.image.id,
  }
  acquire(box, checkpoint.id)
  try {
    const all = filesOf(manifest).length
    const what = wanted.length === all ? 'getting all of it' : `getting ${wanted.length} of its ${all} files`
    report({ subject: manifest.vm.name, step: what, fraction: 0.2 })
    if (wanted.length) await box.backups.fetch(id, wanted, staged, signal)
    await adopt(box, staged, adoption, checkpoint)
    return checkpoint
  } catch (error) {
    release(box, checkpoint.id)
    await box.files.remove(staged)
    throw error
  } finally {
    letGo()
    await collectGarbage(box)
  }
}

/** A checkpoint of a layer that came from a backup; it exists only while it is held. */
const bare = (manifest: Manifest, layer: string, now: string): Checkpoint => ({
  id: makeId('chk'),
  kind: 'copy',
  label: 'backup',
  vm: null,
  image: manifest.image.id,
  layer,
  memory: null,
  parent: null,
  limits: manifest.vm.limits,
  createdAt: now,
  usedAt: now,
})

/**
 * Plans what to get of a backup, and holds the layer of this box that the rest will stand on: it is neither removed nor
 * merged until `release`. A merge that is under way may take it meanwhile; then the plan is made again.
 */
async function planAndHold(
  box: Box,
  manifest: Manifest,
  reuse: boolean,
): Promise<{ adoption: Adoption; release(): void }> {
  for (;;) {
    const now = new Date().toISOString()
    const adoption = planAdoption(box.store.state, manifest, reuse, now)
    const beneath = adoption.places.length > 0 ? adoption.places[0]!.layer.parent : adoption.top
    if (beneath === null) return { adoption, release: () => {} }
    const hold = bare(manifest, beneath, now)
    acquire(box, hold.id)
    await box.store.update((state) => ({ ...state, checkpoints: { ...state.checkpoints, [hold.id]: hold } }))
    await onLayer(box, beneath, async () => {})
    if (beneath in box.store.state.layers) return { adoption, release: () => release(box, hold.id) }
    release(box, hold.id)
    await collectGarbage(box)
  }
}

function makeOf(
  box: Box,
  checkpoint: Checkpoint,
  { vm }: Manifest,
  name: string,
  report: Report,
  signal: AbortSignal,
): Promise<Made> {
  const { layer, image } = checkpoint
  const fork = { ...descriptionOf(vm), limits: vm.limits, name, image, layer } as const
  return makeVm(box, { ...fork, power: 'on', from: undefined, asleep: false }, report, signal)
}
