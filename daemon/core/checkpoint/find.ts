import { CroftError } from '../../lib/error.ts'
import type { Checkpoint, State, Vm } from '../../store/index.ts'
import { closest } from '../vm/name.ts'

/** The checkpoints of a VM that people see, oldest first: in the order of the store, whatever the clock said. Pure. */
export function checkpointsOf(state: Pick<State, 'checkpoints'>, vm: Pick<Vm, 'id'>): Checkpoint[] {
  return Object.values(state.checkpoints).filter(({ vm: of, kind }) => of === vm.id && kind !== 'copy')
}

/** Finds a checkpoint by label or id. @throws CroftError `not-found`, with the label that was probably meant */
export function findCheckpoint(state: State, vm: Vm, label: string): Checkpoint {
  const all = checkpointsOf(state, vm)
  const found = all.find((each) => each.label === label) ?? all.find((each) => each.id === label)
  if (found) return found
  const labels = all.map((each) => each.label)
  const meant = closest(label, labels)
  throw new CroftError('not-found', `${vm.name} has no checkpoint ${JSON.stringify(label.slice(0, 60))}.`, {
    hint: meant
      ? `Did you mean ${meant}?`
      : labels.length
        ? `croft checkpoint ls ${vm.name} shows them.`
        : `It has none. Take one: croft checkpoint ${vm.name}`,
  })
}
