import type { Vm } from '../../store/index.ts'
import { type Box, findOperationVm, findVm, specOf, stateOf, withVm } from '../box.ts'
import type { OperationDefinition, OperationOf } from '../operation/definition.ts'
import { execute } from '../operation/engine.ts'
import { whileAllowed } from '../operation/exclusively.ts'
import { makeReady } from './boot.ts'
import { makeId } from './identity.ts'
import { checkNewName } from './record.ts'
import { isUp } from './state.ts'

/** Renames a VM, in the guest too when it is awake or as soon as it no longer dozes. @throws CroftError `bad-name`, `name-taken`, `not-found` */
export async function renameVm(box: Box, name: string, to: string): Promise<Vm> {
  return whileAllowed(box, name, 'rename', async (vm) => {
    if (vm.name === to) return vm
    const { id } = vm
    const operation = { id: makeId('op'), kind: 'rename', startedAt: new Date().toISOString(), vm: id, to } as const
    await execute(box, renameOperation, operation, (state) => {
      checkNewName(state, to, 'to')
      return withVm(id, { name: to })(state)
    })
    box.events.publish({ type: 'vm.changed', vm: id, name: to })
    return findVm(box.store.state, id)
  })
}

/** `rename`: the store has the new name from the start; domain and guest follow. */
export const renameOperation: OperationDefinition<OperationOf<'rename'>> = {
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
        if (isUp(stateOf(box, vm)))
          await makeReady(box, vm, false).catch((err) => box.log.warn({ vm: id, err }, 'guest not renamed yet'))
      },
    },
  ],
  commit: (state) => state,
}
