import type { Vm } from '../../store/index.ts'
import { type Box, findOperationVm, layerOf, specOf } from '../box.ts'
import type { Step } from '../operation/definition.ts'

/** The first steps of every operation that makes a VM: everything a VM needs before it starts. */
export const preparation: readonly Step<{ vm: string; from?: string | null }>[] = [
  {
    name: 'disk',
    async run(box, { vm: id, from }, report) {
      const vm = findOperationVm(box, id)
      report({ subject: vm.name, step: 'making its disk', fraction: 0.05 })
      const disk = layerOf(box.store.state, vm.disk)
      // A guest that is loaded from memory expects the disk to have the size it had; it is grown afterwards.
      const size = (vm.memory && from && box.store.state.checkpoints[from]?.limits.diskGiB) || vm.limits.diskGiB
      await Promise.all([
        box.files.createDisk(disk, layerOf(box.store.state, disk.parent!), size),
        box.guests.prepare(vm),
      ])
    },
    async undo(box, { vm: id }) {
      const vm = findOperationVm(box, id)
      await box.guests.forget(vm)
      await box.files.remove(layerOf(box.store.state, vm.disk).file)
    },
  },
  {
    name: 'network',
    run: (box, { vm }) => box.network.add(findOperationVm(box, vm)),
    undo: (box, { vm }) => box.network.remove(findOperationVm(box, vm)),
  },
  {
    name: 'define',
    async run(box, { vm: id }) {
      const vm = findOperationVm(box, id)
      await box.hypervisor.define(specOf(box.store.state, vm))
    },
    undo: (box, { vm }) => box.hypervisor.undefine(findOperationVm(box, vm)),
  },
]

/** Undoes the preparation of a VM, which may run. */
export async function unprepare(box: Box, operation: { vm: string }): Promise<void> {
  await box.hypervisor.powerOff(findOperationVm(box, operation.vm).uuid)
  for (const step of preparation.toReversed()) await step.undo?.(box, operation)
}

/** Grows a running fork's disk to the VM's limit. @param has the size that its guest knows, in GiB */
export async function growTo(box: Box, vm: Vm, has: number): Promise<void> {
  if (vm.limits.diskGiB <= has) return
  await box.hypervisor.growDisk(vm.uuid, vm.limits.diskGiB * 2 ** 30)
  await box.guests.script(vm.uuid, 'resize2fs /dev/vda')
}
