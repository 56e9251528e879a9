import type { Checkpoint } from '../../store/index.ts'
import { type Box, findVm, without } from '../box.ts'
import { collectGarbage } from '../layer/garbage.ts'
import { exclusively } from '../operation/exclusively.ts'
import { findCheckpoint } from './find.ts'

/** Removes a checkpoint. Layers that later checkpoints and forks need stay. */
export async function removeCheckpoint(box: Box, name: string, label: string): Promise<Checkpoint> {
  const { id } = findVm(box.store.state, name)
  return exclusively(box, id, async () => {
    const vm = findVm(box.store.state, id)
    const checkpoint = findCheckpoint(box.store.state, vm, label)
    await box.store.update((state) => {
      const { parent } = checkpoint
      const bridged = <T extends { [key in K]: string | null }, K extends string>(records: Record<string, T>, key: K) =>
        Object.fromEntries(
          Object.entries(records).map(([each, record]) => [
            each,
            record[key] === checkpoint.id ? { ...record, [key]: parent } : record,
          ]),
        )
      return {
        ...state,
        checkpoints: bridged(without(state.checkpoints, checkpoint.id), 'parent'),
        vms: bridged(state.vms, 'checkpoint'),
      }
    })
    await collectGarbage(box)
    box.events.publish({ type: 'vm.changed', vm: id, name: vm.name })
    return checkpoint
  })
}
