import { asCroftError, CroftError } from '../../lib/error.ts'
import type { Vm } from '../../store/index.ts'
import { type Box, findVm, stateOf } from '../box.ts'
import { type Action, checkAllowed, type VmState } from '../vm/state.ts'
import { lockOf } from './engine.ts'

/**
 * Does `work` while holding the lock. An operation that was left open under the lock is finished or undone first, so
 * that the store and the box agree when `work` looks at them.
 * @param key a VM's id, or another lock of an operation, see `lockOf`
 * @throws CroftError `conflict` when the earlier operation can be neither finished nor undone
 */
export function exclusively<T>(box: Box, key: string, work: () => Promise<T>): Promise<T> {
  return box.locks.run(key, async () => {
    await recoverUnder(box, key).catch((err) => {
      const { message, code } = asCroftError(err)
      if (code === 'unavailable' || code === 'disk-full') throw err
      const name = box.store.state.vms[key]?.name ?? key
      throw new CroftError('conflict', `An earlier change to ${name} is not finished: ${message}`, {
        hint: 'Croft retries it every minute. For details, see the daemon log: journalctl -u croft',
        cause: err,
      })
    })
    return work()
  })
}

/**
 * Does `work` on a VM while holding its lock, if the VM's state then allows `action`.
 * @param name its name, or its id @throws CroftError `not-found`, `conflict`, and as `exclusively`
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

/** Finishes or undoes the operations that are open under a lock; the caller holds it. */
export async function recoverUnder(box: Box, key: string): Promise<void> {
  for (const open of Object.values(box.store.state.operations))
    if (lockOf(open) === key) await box.recoverIfOpen(box, open)
}
