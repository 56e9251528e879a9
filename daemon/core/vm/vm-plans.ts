import { isBoxTrouble } from '../../lib/error.ts'
import { filterRecord, type State, type Vm } from '../../store/index.ts'
import { type Box, findOperationVm, layerOf, type Report, specOf, stateOf, without, withVm } from '../box.ts'
import { forgetCheckpoint } from '../layer/garbage.ts'
import type { OperationOf, Plan, Step } from '../operation/plan.ts'
import { loadMemory, settleIn } from '../sleep/memory.ts'
import { bootVm, makeReady } from './boot.ts'

/** The first steps of anything that makes a VM: all it needs before it starts. */
export const preparation: readonly Step<{ vm: string; from?: string | null }>[] = [
  {
    name: 'disk',
    async run(box, { vm: id, from }, report) {
      const vm = findOperationVm(box, id)
      report({ subject: vm.name, step: 'making its disk', fraction: 0.05 })
      const disk = layerOf(box.store.state, vm.disk)
      // A guest that is loaded knows the size that the disk had; it grows afterwards.
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

/** `new`: the VM's record stands in the store, `making`, from the start: its name, address and MAC are its own. */
export const newPlan: Plan<OperationOf<'new'>> = {
  recovery: 'undo',
  steps: [
    ...preparation,
    {
      name: 'boot',
      async run(box, operation, report) {
        const vm = findOperationVm(box, operation.vm)
        if (vm.power === 'off' || operation.asleep) return
        if (vm.memory) await forkIn(box, vm, operation, report)
        else await bootVm(box, vm, report, box.wanted.get(operation.id))
      },
      undo: (box, { vm }) => box.hypervisor.powerOff(findOperationVm(box, vm).uuid),
    },
  ],
  end: (state, { vm, asleep }) => withVm(vm, { phase: 'ready', ...(!asleep && { memory: null }) })(state),
  undone: (state, { vm }) => withoutVm(state, vm),
}

/**
 * Starts a new VM in the memory of the checkpoint that it is a fork of. When a golden checkpoint turns out not to work
 * it is given up, and the VM boots from a clean disk instead: anything else that could be wrong, the boot meets too.
 */
async function forkIn(box: Box, vm: Vm, { id, from }: OperationOf<'new'>, report: Report): Promise<void> {
  const checkpoint = box.store.state.checkpoints[from!]!
  try {
    report({ subject: vm.name, step: 'waiting for its turn to load', fraction: 0.2 })
    await box.loads.run(async () => {
      report({ subject: vm.name, step: 'loading its memory', fraction: 0.3 })
      await loadMemory(box, vm, box.store.state.memories[vm.memory!]!, 'running')
      report({ subject: vm.name, step: 'telling it who it is', fraction: 0.8 })
      await settleIn(box, vm)
    })
    await growTo(box, vm, checkpoint.limits.diskGiB)
  } catch (err) {
    if (checkpoint.kind !== 'golden' || isBoxTrouble(err)) throw err
    box.log.error({ vm: vm.id, checkpoint: checkpoint.id, err }, 'a golden checkpoint does not work')
    await forgetCheckpoint(box, checkpoint.id)
    await box.hypervisor.powerOff(vm.uuid)
    const disk = layerOf(box.store.state, vm.disk)
    await box.files.createDisk(disk, layerOf(box.store.state, disk.parent!), vm.limits.diskGiB)
    report({ subject: vm.name, step: 'booting', fraction: 0.15, note: 'the golden checkpoint did not work' })
    await bootVm(box, vm, report, box.wanted.get(id))
  }
}

/** A running fork's disk as large as the VM's limits say. @param has the size that its guest knows, in GiB */
export async function growTo(box: Box, vm: Vm, has: number): Promise<void> {
  if (vm.limits.diskGiB <= has) return
  await box.hypervisor.growDisk(vm.uuid, vm.limits.diskGiB * 2 ** 30)
  await box.guests.script(vm.uuid, 'resize2fs /dev/vda')
}

/** The record of a VM and of the layer that is its own disk. */
export function withoutVm(state: State, id: string): State {
  const { [id]: vm, ...vms } = state.vms
  return vm ? { ...state, vms, layers: without(state.layers, vm.disk) } : state
}

const notOf = <T extends { vm: string | null }>(id: string, record: Record<string, T>): Record<string, T> =>
  filterRecord(record, ({ vm }) => vm !== id)

/** `rm`: once begun it is carried to its end. Its disk is left to the collection: forks may stand on it. */
export const rmPlan: Plan<OperationOf<'rm'>> = {
  recovery: 'finish',
  steps: [
    { name: 'power-off', run: (box, { vm }) => box.hypervisor.powerOff(findOperationVm(box, vm).uuid) },
    { name: 'undefine', run: (box, { vm }) => box.hypervisor.undefine(findOperationVm(box, vm)) },
    { name: 'network', run: (box, { vm }) => box.network.remove(findOperationVm(box, vm)) },
    { name: 'folder', run: (box, { vm }) => box.guests.forget(findOperationVm(box, vm)) },
  ],
  end: (state, { vm }) => ({
    ...state,
    vms: without(state.vms, vm),
    // One that could be neither finished nor taken back: what it has made is nobody's now, and swept up.
    operations: filterRecord(state.operations, (each) => !('vm' in each && each.vm === vm)),
    links: notOf(vm, state.links),
    tokens: notOf(vm, state.tokens),
    keys: notOf(vm, state.keys),
    hosts: notOf(vm, state.hosts),
  }),
}

/** `rename`: the store has the new name from the start; the domain and the guest follow. */
export const renamePlan: Plan<OperationOf<'rename'>> = {
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
          await makeReady(box, vm, false).catch((err) => box.log.warn({ vm: id, err }, 'guest not renamed yet'))
      },
    },
  ],
  end: (state) => state,
}

/** `resize`: the store has the new limits only at the end, when all of them hold. */
export const resizePlan: Plan<OperationOf<'resize'>> = {
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
