import { CroftError, isBoxTrouble } from '../../lib/error.ts'
import type { Layer, Vm } from '../../store/index.ts'
import { type Box, layerOf } from '../box.ts'
import { chainOf } from '../layer/compaction-plan.ts'

/**
 * Lets QEMU write a VM's own disk. A VM needs this before it starts, because a failed operation may have left the disk
 * frozen. @throws CroftError `conflict` when the disk is gone
 */
export async function lendOwnDisk(box: Box, vm: Vm): Promise<void> {
  if (await lendDisk(box, vm)) return
  const { file } = layerOf(box.store.state, vm.disk)
  throw new CroftError('conflict', `The disk of ${vm.name} is gone: there is no ${file} in the state folder.`, {
    hint: `Go back to a checkpoint with croft restore ${vm.name}, or delete the VM with croft rm ${vm.name}.`,
  })
}

/** Lets QEMU write a VM's own disk. @returns whether the disk exists */
export async function lendDisk(box: Box, vm: Vm): Promise<boolean> {
  const { file } = layerOf(box.store.state, vm.disk)
  if (!(await box.files.exists(file))) return false
  await box.files.lend(file)
  return true
}

/**
 * Makes a running VM's QEMU open the layers beneath its disk read-only. After a commit that did not finish, QEMU (7.2)
 * keeps one open for writing, and would have to open it for writing again when it resumes after its memory was saved.
 */
export async function onlyReadBeneath(box: Box, vm: Vm): Promise<void> {
  const layers = layersOfItsOwn(box, vm)
  if (layers.length === 0) return
  const written = await box.hypervisor.writes(
    vm,
    layers.map(({ file }) => file),
  )
  for (const layer of layers.filter(({ file }) => written.includes(file)))
    await box.hypervisor.onlyRead(vm.uuid, layer, layerOf(box.store.state, layer.parent!))
}

/** Resumes a paused VM, even if an older Croft has frozen a layer that its QEMU opens for writing. */
export async function resumeVm(box: Box, vm: Vm): Promise<void> {
  try {
    await box.hypervisor.resume(vm.uuid)
  } catch (error) {
    // While paused, QEMU has no files open, so there is no telling which layers it wants to write.
    const own = layersOfItsOwn(box, vm)
    if (isBoxTrouble(error) || own.length === 0) throw error
    for (const { file } of own) await box.files.lend(file)
    await box.hypervisor.resume(vm.uuid)
    await onlyReadBeneath(box, vm)
    for (const { file } of own) await box.files.freeze(file)
    box.log.warn(
      { vm: vm.id, err: error },
      'could not resume because of a layer that it had open for writing; it runs again',
    )
  }
}

/** The layers beneath a VM's disk that no other VM and no image uses. */
function layersOfItsOwn(box: Box, vm: Vm): Layer[] {
  const { state } = box.store
  const others = Object.values(state.vms).filter(({ id }) => id !== vm.id)
  const shared = new Set([
    ...others.flatMap(({ disk }) => chainOf(state, disk)),
    ...Object.values(state.images).map(({ layer }) => layer),
  ])
  const beneath = chainOf(state, vm.disk).slice(1)
  return beneath.filter((id) => !shared.has(id)).map((id) => layerOf(state, id))
}
