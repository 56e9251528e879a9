import { CroftError } from '../error.ts'
import type { Vm } from '../store/index.ts'
import { type Box, layerOf } from './box.ts'

/**
 * Has QEMU write a VM's own disk, which is what a VM needs before it starts, whatever an operation that failed has left.
 * @throws CroftError `conflict` when the disk is gone
 */
export async function ownDisk(box: Box, vm: Vm): Promise<void> {
  if (await giveDisk(box, vm)) return
  const { file } = layerOf(box.store.state, vm.disk)
  throw new CroftError('conflict', `The disk of ${vm.name} is gone: there is no ${file} in the state folder.`, {
    hint: `croft restore ${vm.name} goes back to a checkpoint; croft rm ${vm.name} deletes the VM.`,
  })
}

/** The same. @returns whether there is a disk */
export async function giveDisk(box: Box, vm: Vm): Promise<boolean> {
  const { file } = layerOf(box.store.state, vm.disk)
  if (!(await box.files.exists(file))) return false
  await box.files.lend(file)
  return true
}
