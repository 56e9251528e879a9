import type { State } from '../../store/index.ts'
import { type Box, findOperationVm, layerOf, specOf, withVm } from '../box.ts'
import type { OperationOf, Plan } from '../operation/plan.ts'
import { savingBytes } from '../sleep/memory.ts'
import { giveDisk, onlyReadBeneath } from '../vm/own-disk.ts'

/**
 * `checkpoint`: the VM turns to a new, empty disk on top of its old one, which nobody writes again. A running guest's
 * memory is saved at that instant by one libvirt snapshot, which does both or neither; a sleeping one's is saved already.
 * Cut off or failed, the VM's disk tells whether it happened. Once a guest has run on its new disk there is no way back.
 */
export const checkpointPlan: Plan<OperationOf<'checkpoint'>> = {
  async recovery(box, operation) {
    const { uuid } = findOperationVm(box, operation.vm)
    await box.hypervisor.jobDone(uuid)
    if (!(await turned(box, operation))) return 'undo'
    const ran = (await runs(box, uuid)) || (operation.memory !== null && !isSaved(box, operation))
    return ran || (await box.files.isWritten(operation.disk)) ? 'finish' : 'undo'
  },
  steps: [
    {
      name: 'disk',
      async run(box, operation) {
        if (await turned(box, operation)) return
        const vm = findOperationVm(box, operation.vm)
        await box.files.createDisk(operation.disk, layerOf(box.store.state, vm.disk), vm.limits.diskGiB)
      },
      undo: (box, { disk }) => box.files.remove(disk.file),
    },
    {
      name: 'snapshot',
      async run(box, operation, report) {
        const vm = findOperationVm(box, operation.vm)
        if (!(await runs(box, vm.uuid)) || (await turned(box, operation))) return
        report({ subject: vm.name, step: 'taking the checkpoint', fraction: 0.3 })
        const bytes = operation.memory ? await savingBytes(box, vm) : 0
        if (operation.memory) await onlyReadBeneath(box, vm)
        await box.governor.lend(`a checkpoint of ${vm.name}`, bytes, () =>
          box.hypervisor.snapshot(vm.uuid, operation.memory, operation.disk, box.live.get(vm.uuid)?.ready === true),
        )
        if (bytes > 0) box.governor.reclaim(vm.id, bytes)
      },
      async undo(box, operation) {
        if (operation.memory && !isSaved(box, operation)) await box.files.remove(operation.memory.file)
      },
    },
    {
      name: 'define',
      async run(box, { vm: id, disk }) {
        const vm = findOperationVm(box, id)
        await box.hypervisor.define({ ...specOf(box.store.state, vm), disk })
      },
      async undo(box, operation) {
        const vm = findOperationVm(box, operation.vm)
        if (await turned(box, operation)) await box.hypervisor.define(specOf(box.store.state, vm))
      },
    },
    {
      name: 'freeze',
      async run(box, operation) {
        const vm = findOperationVm(box, operation.vm)
        await box.files.freeze(layerOf(box.store.state, vm.disk).file)
        if (operation.memory && !isSaved(box, operation)) await box.files.freeze(operation.memory.file)
      },
      async undo(box, { vm }) {
        await giveDisk(box, findOperationVm(box, vm))
      },
    },
  ],
  end: (state, { vm, checkpoint, disk, memory }) => ({
    ...withVm(vm, { disk: disk.id, checkpoint: checkpoint.id })(state),
    layers: { ...state.layers, [disk.id]: disk },
    checkpoints: { ...state.checkpoints, [checkpoint.id]: checkpoint },
    memories: memory ? { ...state.memories, [memory.id]: memory } : state.memories,
  }),
}

async function runs(box: Box, uuid: string): Promise<boolean> {
  return ['running', 'paused'].includes((await box.hypervisor.state(uuid)) ?? 'off')
}

/** Whether the VM's domain has the new disk. */
async function turned(box: Box, { vm, disk }: OperationOf<'checkpoint'>): Promise<boolean> {
  return (await box.hypervisor.diskOf(findOperationVm(box, vm).uuid)) === disk.file
}

/** Whether the checkpoint's memory was there before: a sleeping VM's. */
function isSaved(box: Box, { memory }: OperationOf<'checkpoint'>): boolean {
  return memory !== null && memory.id in box.store.state.memories
}

/**
 * `restore`: the VM is turned off and gets an empty disk on the checkpoint's layer. With the checkpoint's memory it is
 * then asleep, and is woken by whoever restored it.
 */
export const restorePlan: Plan<OperationOf<'restore'>> = {
  recovery: 'finish',
  steps: [
    { name: 'power-off', run: (box, { vm }) => box.hypervisor.powerOff(findOperationVm(box, vm).uuid) },
    {
      name: 'disk',
      async run(box, { disk, checkpoint: id }) {
        const checkpoint = box.store.state.checkpoints[id]!
        await box.files.createDisk(disk, layerOf(box.store.state, checkpoint.layer), checkpoint.limits.diskGiB)
      },
    },
    {
      name: 'define',
      async run(box, operation) {
        const vm = findOperationVm(box, operation.vm)
        const { limits } = box.store.state.checkpoints[operation.checkpoint]!
        await box.hypervisor.define({ ...specOf(box.store.state, vm), vm: { ...vm, limits }, disk: operation.disk })
      },
    },
  ],
  end: restored,
}

function restored(state: State, { vm, checkpoint: id, disk }: OperationOf<'restore'>): State {
  const { limits, memory } = state.checkpoints[id]!
  return {
    ...withVm(vm, { disk: disk.id, checkpoint: id, memory, limits })(state),
    layers: { ...state.layers, [disk.id]: disk },
  }
}
