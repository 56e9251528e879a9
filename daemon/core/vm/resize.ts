import { CroftError } from '../../lib/error.ts'
import type { Limits, Vm } from '../../store/index.ts'
import { type Box, findOperationVm, findVm, layerOf, specOf, withVm } from '../box.ts'
import type { OperationDefinition, OperationOf } from '../operation/definition.ts'
import { execute } from '../operation/engine.ts'
import { whileAllowed } from '../operation/exclusively.ts'
import { whileRunning } from '../sleep/doze.ts'
import { makeId } from './identity.ts'
import { checkLimits } from './limits.ts'
import { isUp } from './state.ts'

/**
 * Changes the limits of a VM. The disk grows immediately, even under a running guest; it never shrinks.
 * CPUs and memory change at the next start.
 */
export async function resizeVm(
  box: Box,
  name: string,
  change: Partial<Limits>,
): Promise<{ vm: Vm; atNextStart: boolean }> {
  checkLimits(box, change)
  return whileAllowed(box, name, 'resize', async (before, state) => {
    const { id } = before
    const limits = { ...before.limits, ...change }
    if (limits.diskGiB < before.limits.diskGiB) {
      throw new CroftError(
        'bad-value',
        `The disk of ${before.name} has ${before.limits.diskGiB} GiB and can't shrink.`,
        {
          hint: 'A disk takes only the space that is written to it.',
          argument: 'disk',
        },
      )
    }
    const operation = { id: makeId('op'), kind: 'resize', startedAt: new Date().toISOString(), vm: id, limits } as const
    await whileRunning(box, before, () => execute(box, resizeOperation, operation, (current) => current))
    box.events.publish({ type: 'vm.changed', vm: id, name: before.name })
    const later = limits.cpus !== before.limits.cpus || limits.memoryMiB !== before.limits.memoryMiB
    return { vm: findVm(box.store.state, id), atNextStart: later && isUp(state) }
  })
}

/** `resize`: the store has the new limits only at the end, when all of them are in effect. */
export const resizeOperation: OperationDefinition<OperationOf<'resize'>> = {
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
  commit: (state, { vm, limits }) => withVm(vm, { limits })(state),
}
