import { findOperationVm, imageOf, specOf, withVm } from '../box.ts'
import type { OperationOf, Plan } from '../operation/plan.ts'
import { loadMemory, settleIn } from '../sleep/memory.ts'
import { freshShare, share } from '../vm/qos.ts'
import { growTo, preparation, withoutVm } from '../vm/vm-plans.ts'

/**
 * Makes a spare: a fork of a golden checkpoint that knows its address and keys, has been entered once by SSH, and stands
 * still. Its first guest finds everything read and started that a login needs.
 */
export const sparePlan: Plan<OperationOf<'spare'>> = {
  recovery: 'undo',
  steps: [
    ...preparation,
    {
      name: 'load',
      async run(box, { vm: id }) {
        const vm = findOperationVm(box, id)
        await box.loads.run(async () => {
          await loadMemory(box, vm, box.store.state.memories[vm.memory!]!, 'running')
          await settleIn(box, vm)
        })
      },
      undo: (box, { vm }) => box.hypervisor.powerOff(findOperationVm(box, vm).uuid),
    },
    {
      name: 'enter',
      async run(box, { vm: id }) {
        const vm = findOperationVm(box, id)
        await box.guests.enter(vm, imageOf(box.store.state, vm).user)
      },
    },
    {
      name: 'pause',
      async run(box, { vm: id }) {
        const { uuid } = findOperationVm(box, id)
        box.live.mark(uuid, { ready: false })
        await box.hypervisor.pause(uuid)
        await box.live.waitFor(uuid, (live) => live?.domain !== 'running', 10_000)
      },
    },
  ],
  end: (state, { vm, from }) => withVm(vm, { phase: 'spare', memory: null, checkpoint: from })(state),
  undone: (state, { vm }) => withoutVm(state, vm),
}

/** `new` with a spare: all that is left to do is to let it run, and to tell it its name and what is new. */
export const claimPlan: Plan<OperationOf<'claim'>> = {
  recovery: 'undo',
  steps: [
    {
      name: 'run',
      async run(box, { vm: id, from }, report) {
        const vm = findOperationVm(box, id)
        report({ subject: vm.name, step: 'telling it who it is', fraction: 0.5 })
        const defined = box.hypervisor.define(specOf(box.store.state, vm))
        await share(box, vm, freshShare)
        await box.hypervisor.resume(vm.uuid)
        await Promise.all([defined, settleIn(box, vm)])
        await growTo(box, vm, box.store.state.checkpoints[from]?.limits.diskGiB ?? 0)
      },
      async undo(box, operation) {
        await box.hypervisor.powerOff(findOperationVm(box, operation.vm).uuid)
        for (const step of preparation.toReversed()) await step.undo?.(box, operation)
      },
    },
  ],
  end: (state, { vm }) => withVm(vm, { phase: 'ready' })(state),
  undone: (state, { vm }) => withoutVm(state, vm),
}
