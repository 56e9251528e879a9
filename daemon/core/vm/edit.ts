import type { Vm } from '../../store/index.ts'
import { tellGuests } from '../access/keys.ts'
import { keysDiffer } from '../access/limit.ts'
import { type Box, findVm, withVm } from '../box.ts'

/** Changes fields that are kept only in a VM's record. */
export async function editVm(
  box: Box,
  name: string,
  change: (
    vm: Vm,
  ) => Partial<
    Pick<Vm, 'tags' | 'comment' | 'sleepAfter' | 'appointment' | 'keepsAppointments' | 'restart' | 'schedule' | 'web'>
  >,
): Promise<Vm> {
  const before = box.store.state
  const { id } = findVm(before, name)
  await box.store.update((state) => withVm(id, change(findVm(state, id)))(state))
  const vm = findVm(box.store.state, id)
  if (keysDiffer(before, box.store.state, id)) tellGuests(box, (each) => each.id === id)
  box.events.publish({ type: 'vm.changed', vm: id, name: vm.name })
  return vm
}
