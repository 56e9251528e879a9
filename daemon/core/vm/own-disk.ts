import { CroftError, isBoxTrouble } from '../../lib/error.ts'
import type { Layer, Vm } from '../../store/index.ts'
import { type Box, layerOf } from '../box.ts'
import { chainOf } from '../layer/compaction-plan.ts'

/**
 * Has QEMU write a VM's own disk, which is what a VM needs before it starts, whatever an operation that failed has left.
 * @throws CroftError `conflict` when the disk is gone
 */
export async function lendOwnDisk(box: Box, vm: Vm): Promise<void> {
  if (await lendDisk(box, vm)) return
  const { file } = layerOf(box.store.state, vm.disk)
  throw new CroftError('conflict', `The disk of ${vm.name} is gone: there is no ${file} in the state folder.`, {
    hint: `croft restore ${vm.name} goes back to a checkpoint; croft rm ${vm.name} deletes the VM.`,
  })
}

/** Has QEMU write a VM's own disk. @returns whether there is one */
export async function lendDisk(box: Box, vm: Vm): Promise<boolean> {
  const { file } = layerOf(box.store.state, vm.disk)
  if (!(await box.files.exists(file))) return false
  await box.files.lend(file)
  return true
}

/**
 * Has a running VM's QEMU write its disk and no layer beneath it: of a commit that did not come to its end it has one open for
 * writing (QEMU 7.2), and would have to open it so again when it goes on after its memory was saved.
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

/** Has a VM that stands still go on, also where an older Croft has frozen a layer that its QEMU opens for writing. */
export async function resumeVm(box: Box, vm: Vm): Promise<void> {
  try {
    await box.hypervisor.resume(vm.uuid)
  } catch (error) {
    // While it stands still, QEMU has nothing open: it can't be told which of them it wants to write.
    const own = layersOfItsOwn(box, vm)
    if (isBoxTrouble(error) || own.length === 0) throw error
    for (const { file } of own) await box.files.lend(file)
    await box.hypervisor.resume(vm.uuid)
    await onlyReadBeneath(box, vm)
    for (const { file } of own) await box.files.freeze(file)
    box.log.warn({ vm: vm.id, err: error }, 'stood still for a layer that it had open for writing, and goes on')
  }
}

/** The layers beneath a VM's disk that no other VM has, and no image. */
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
