import { type Checkpoint, filterRecord, type State, type Vm } from '../../store/index.ts'
import { type Box, findOperationVm, findVm, layerOf, type Report, specOf, withVm } from '../box.ts'
import { onLayer } from '../layer/compaction.ts'
import { collectGarbage } from '../layer/garbage.ts'
import type { OperationDefinition, OperationOf } from '../operation/definition.ts'
import { execute } from '../operation/engine.ts'
import { whileAllowed } from '../operation/exclusively.ts'
import { wakeUp } from '../sleep/wake.ts'
import { bootVm } from '../vm/boot.ts'
import { makeId } from '../vm/identity.ts'
import { makeLayer } from '../vm/record.ts'
import { checkpointsOf, findCheckpoint } from './find.ts'
import { take } from './take.ts'

/** How many of the checkpoints that `restore` takes automatically are kept per VM. */
const keptBeforeRestore = 5

/**
 * Takes a VM's disk and memory back to a checkpoint. Its current state is saved as a checkpoint first, so that a
 * restore can be undone the same way.
 * @returns the checkpoint taken before, and why the VM had to boot if it had to
 */
export async function restoreVm(
  box: Box,
  name: string,
  label: string,
  report: Report,
): Promise<{ before: Checkpoint; cold: string | undefined }> {
  return whileAllowed(box, name, 'restore', async (vm, state) => {
    const { id } = vm
    const checkpoint = findCheckpoint(box.store.state, vm, label)
    const ran = state !== 'stopped' && state !== 'crashed'
    const before = await take(box, id, { kind: 'before-restore', memory: true }, report)
    const now = new Date().toISOString()
    const disk = makeLayer(checkpoint.layer, now)
    const operation = {
      id: makeId('op'),
      kind: 'restore',
      startedAt: now,
      vm: id,
      checkpoint: checkpoint.id,
      disk,
    } as const
    report({ subject: vm.name, step: `going back to ${checkpoint.label}`, fraction: 0.5 })
    await onLayer(box, checkpoint.layer, () => execute(box, restoreOperation, operation, (current) => current, report))
    const restored = findVm(box.store.state, id)
    let cold: string | undefined
    if (restored.memory) cold = await wakeUp(box, restored, report)
    else if (ran) await bootVm(box, restored, report)
    box.events.publish({ type: 'vm.changed', vm: id, name: vm.name })
    await prune(box, id)
    return { before, cold }
  })
}

async function prune(box: Box, id: string): Promise<void> {
  await box.store.update((state) => ({ ...state, checkpoints: pruned(state, { id }) }))
  await collectGarbage(box)
}

/** The checkpoints without the surplus ones that `restore` took of a VM automatically. Pure. */
export function pruned(state: Pick<State, 'checkpoints'>, vm: Pick<Vm, 'id'>): State['checkpoints'] {
  const own = checkpointsOf(state, vm).filter(({ kind }) => kind === 'before-restore')
  const old = new Set(own.slice(0, -keptBeforeRestore).map(({ id }) => id))
  return filterRecord(state.checkpoints, ({ id }) => !old.has(id))
}

/**
 * `restore`: the VM is turned off and gets an empty disk on the checkpoint's layer. If the checkpoint has memory, the
 * VM is then asleep, and `restoreVm` wakes it.
 */
export const restoreOperation: OperationDefinition<OperationOf<'restore'>> = {
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
  commit: restored,
}

function restored(state: State, { vm, checkpoint: id, disk }: OperationOf<'restore'>): State {
  const { limits, memory } = state.checkpoints[id]!
  return {
    ...withVm(vm, { disk: disk.id, checkpoint: id, memory, limits })(state),
    layers: { ...state.layers, [disk.id]: disk },
  }
}
