import { filterRecord } from '../../store/index.ts'
import { type Box, findOperationVm, findVm, stateOf, without } from '../box.ts'
import { collectGarbage } from '../layer/garbage.ts'
import type { OperationDefinition, OperationOf } from '../operation/definition.ts'
import { execute } from '../operation/engine.ts'
import { recoverUnder } from '../operation/exclusively.ts'
import { makeId } from './identity.ts'
import { checkAllowed } from './state.ts'

/** Deletes a VM and everything that belongs to it, in any state. */
export async function removeVm(box: Box, name: string): Promise<void> {
  const { id } = findVm(box.store.state, name)
  await box.locks.run(id, async () => {
    await recoverUnder(box, id).catch((err) =>
      box.log.warn({ vm: id, err }, 'an earlier operation on the VM is dropped with it'),
    )
    const vm = findVm(box.store.state, id)
    checkAllowed('rm', vm.name, stateOf(box, vm))
    const operation = { id: makeId('op'), kind: 'rm', startedAt: new Date().toISOString(), vm: id } as const
    const leaving = { ...vm, phase: 'leaving', power: 'off' } as const
    await execute(box, rmOperation, operation, (state) => ({ ...state, vms: { ...state.vms, [id]: leaving } }))
    box.live.forget(vm.uuid)
    box.usage.forget(id)
    box.events.publish({ type: 'vm.removed', vm: id, name: vm.name })
    await collectGarbage(box)
  })
}

const notOf = <T extends { vm: string | null }>(id: string, record: Record<string, T>): Record<string, T> =>
  filterRecord(record, ({ vm }) => vm !== id)

/** `rm`: once begun, it is always finished. The disk is left to garbage collection, because forks may stand on it. */
export const rmOperation: OperationDefinition<OperationOf<'rm'>> = {
  recovery: 'finish',
  steps: [
    { name: 'power-off', run: (box, { vm }) => box.hypervisor.powerOff(findOperationVm(box, vm).uuid) },
    { name: 'undefine', run: (box, { vm }) => box.hypervisor.undefine(findOperationVm(box, vm)) },
    { name: 'network', run: (box, { vm }) => box.network.remove(findOperationVm(box, vm)) },
    { name: 'folder', run: (box, { vm }) => box.guests.forget(findOperationVm(box, vm)) },
  ],
  commit: (state, { vm }) => ({
    ...state,
    vms: without(state.vms, vm),
    // An operation that could be neither finished nor undone goes too: `removeOrphans` removes its files.
    operations: filterRecord(state.operations, (each) => !('vm' in each && each.vm === vm)),
    links: notOf(vm, state.links),
    tokens: notOf(vm, state.tokens),
    keys: notOf(vm, state.keys),
    hosts: notOf(vm, state.hosts),
  }),
}
