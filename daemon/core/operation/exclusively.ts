import { asCroftError, CroftError } from '../../lib/error.ts'
import type { Vm } from '../../store/index.ts'
import { type Box, findVm, stateOf } from '../box.ts'
import { type Action, checkAllowed, type VmState } from '../vm/state.ts'
import { lockOf } from './engine.ts'

/**
 * Does something while nobody else has the lock. What an earlier operation under it has left open is finished or taken back
 * first, so that the store and the box agree when `work` looks at them.
 * @param key a VM's id, or another lock of an operation, see `lockOf`
 * @throws CroftError `conflict` when the earlier operation can be neither finished nor taken back
 */
export function exclusively<T>(box: Box, key: string, work: () => Promise<T>): Promise<T> {
  return box.locks.run(key, async () => {
    await recoverUnder(box, key).catch((err) => {
      const { message, code } = asCroftError(err)
      if (code === 'unavailable' || code === 'disk-full') throw err
      const name = box.store.state.vms[key]?.name ?? key
      throw new CroftError('conflict', `What was begun with ${name} before is not over: ${message}`, {
        hint: 'It is tried again each minute; the log of the daemon says more: journalctl -u croft',
        cause: err,
      })
    })
    return work()
  })
}

/**
 * Does something to a VM while nobody else does, if that makes sense in the state that it is in by then.
 * @param name its name, or its id @throws CroftError `not-found`, and `conflict` also as `exclusively` does
 */
export async function whileAllowed<T>(
  box: Box,
  name: string,
  action: Action,
  work: (vm: Vm, state: VmState) => Promise<T>,
): Promise<T> {
  const { id } = findVm(box.store.state, name)
  return exclusively(box, id, async () => {
    const vm = findVm(box.store.state, id)
    const state = stateOf(box, vm)
    checkAllowed(action, vm.name, state)
    return work(vm, state)
  })
}

/** Finishes or takes back what is open under a lock, which is held. */
export async function recoverUnder(box: Box, key: string): Promise<void> {
  for (const open of Object.values(box.store.state.operations))
    if (lockOf(open) === key) await box.recoverIfOpen(box, open)
}
