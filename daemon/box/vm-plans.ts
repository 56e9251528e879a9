import type { State } from '../store/index.ts'
import { bootVm, makeReady } from './boot.ts'
import { findOperationVm, layerOf, specOf, stateOf, without, withVm } from './box.ts'
import type { OperationOf, Plan } from './plan.ts'

/** `new`: the VM's record stands in the store, `making`, from the start: its name, address and MAC are its own. */
export const makeVm: Plan<OperationOf<'new'>> = {
  recovery: 'undo',
  steps: [
    {
      name: 'disk',
      async run(box, { vm: id }, report) {
        const vm = findOperationVm(box, id)
        report({ subject: vm.name, step: 'making its disk', fraction: 0.05 })
        const disk = layerOf(box.store.state, vm.disk)
        await box.files.createDisk(disk, layerOf(box.store.state, disk.parent!), vm.limits.diskGiB)
        await box.guests.prepare(vm)
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
      undo: (box, { vm }) => box.hypervisor.undefine(findOperationVm(box, vm).uuid),
    },
    {
      name: 'boot',
      async run(box, { vm: id }, report) {
        const vm = findOperationVm(box, id)
        if (vm.power === 'on') await bootVm(box, vm, report)
      },
      undo: (box, { vm }) => box.hypervisor.powerOff(findOperationVm(box, vm).uuid),
    },
  ],
  end: (state, { vm }) => withVm(vm, { phase: 'ready' })(state),
  undone: (state, { vm }) => withoutVm(state, vm),
}

/** The record of a VM and of the layer that is its own disk. */
function withoutVm(state: State, id: string): State {
  const { [id]: vm, ...vms } = state.vms
  return vm ? { ...state, vms, layers: without(state.layers, vm.disk) } : state
}

/** `rm`: once begun it is carried to its end. Its disk is left to the collection: forks may stand on it. */
export const removeVm: Plan<OperationOf<'rm'>> = {
  recovery: 'finish',
  steps: [
    { name: 'power-off', run: (box, { vm }) => box.hypervisor.powerOff(findOperationVm(box, vm).uuid) },
    { name: 'undefine', run: (box, { vm }) => box.hypervisor.undefine(findOperationVm(box, vm).uuid) },
    { name: 'network', run: (box, { vm }) => box.network.remove(findOperationVm(box, vm)) },
    { name: 'folder', run: (box, { vm }) => box.guests.forget(findOperationVm(box, vm)) },
  ],
  end: (state, { vm }) => ({ ...state, vms: without(state.vms, vm) }),
}

/** `rename`: the store has the new name from the start; the domain and the guest follow. */
export const renameVm: Plan<OperationOf<'rename'>> = {
  recovery: 'finish',
  steps: [
    {
      name: 'define',
      async run(box, { vm: id }) {
        const vm = findOperationVm(box, id)
        await box.hypervisor.define(specOf(box.store.state, vm))
      },
    },
    {
      name: 'guest',
      async run(box, { vm: id }) {
        const vm = findOperationVm(box, id)
        // A guest that can't be told now learns its name at its next start, from the kernel's command line.
        if (stateOf(box, vm) === 'awake')
          await makeReady(box, vm).catch((err) => box.log.warn({ vm: id, err }, 'guest not renamed yet'))
      },
    },
  ],
  end: (state) => state,
}

/** `resize`: the store has the new limits only at the end, when all of them hold. */
export const resizeVm: Plan<OperationOf<'resize'>> = {
  recovery: 'finish',
  steps: [
    {
      name: 'disk',
      async run(box, { vm: id, limits }) {
        const vm = { ...findOperationVm(box, id), limits }
        if (limits.diskGiB === findOperationVm(box, id).limits.diskGiB) return
        const live = box.live.get(vm.uuid)
        if (!live || live.domain === 'off' || live.domain === 'crashed')
          return box.files.growDisk(layerOf(box.store.state, vm.disk), limits.diskGiB)
        await box.hypervisor.growDisk(vm.uuid, limits.diskGiB * 2 ** 30)
        // Without its agent the guest grows its file system at its next start.
        if (live.ready) await box.guests.script(vm.uuid, 'resize2fs /dev/vda')
      },
    },
    {
      name: 'define',
      async run(box, { vm: id, limits }) {
        const vm = { ...findOperationVm(box, id), limits }
        await box.hypervisor.define(specOf(box.store.state, vm))
      },
    },
  ],
  end: (state, { vm, limits }) => withVm(vm, { limits })(state),
}
