import { CroftError } from '../../lib/error.ts'
import type { Limits, Rates, Vm } from '../../store/index.ts'
import { tellGuests } from '../access/keys.ts'
import { keysDiffer } from '../access/limit.ts'
import { type Box, findVm, withVm } from '../box.ts'
import { carryOut } from '../operation/engine.ts'
import { whileAllowed } from '../operation/exclusively.ts'
import { checkLimits } from './create.ts'
import { makeId } from './identity.ts'
import { applyShare, checkRates, lacksCgroups, noCgroups, type Share, share } from './qos.ts'
import { checkNewName } from './record.ts'
import { renamePlan, resizePlan } from './vm-plans.ts'

/** Gives a VM another name, in the guest too when it is awake. @throws CroftError `bad-name`, `name-taken`, `not-found` */
export async function renameVm(box: Box, name: string, to: string): Promise<Vm> {
  return whileAllowed(box, name, 'rename', async (vm) => {
    if (vm.name === to) return vm
    const { id } = vm
    const operation = { id: makeId('op'), kind: 'rename', startedAt: new Date().toISOString(), vm: id, to } as const
    await carryOut(box, renamePlan, operation, (state) => {
      checkNewName(state, to, 'to')
      return withVm(id, { name: to })(state)
    })
    box.events.publish({ type: 'vm.changed', vm: id, name: to })
    return findVm(box.store.state, id)
  })
}

/**
 * Changes the limits of a VM. The disk grows at once, also under a running guest; it never shrinks.
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
          hint: 'It costs only what is written to it.',
          argument: 'disk',
        },
      )
    }
    const operation = { id: makeId('op'), kind: 'resize', startedAt: new Date().toISOString(), vm: id, limits } as const
    await carryOut(box, resizePlan, operation, (current) => current)
    box.events.publish({ type: 'vm.changed', vm: id, name: before.name })
    const later = limits.cpus !== before.limits.cpus || limits.memoryMiB !== before.limits.memoryMiB
    return { vm: findVm(box.store.state, id), atNextStart: later && state === 'awake' }
  })
}

/** Changes what is only written down. */
export async function describeVm(
  box: Box,
  name: string,
  change: (vm: Vm) => Partial<Pick<Vm, 'tags' | 'comment' | 'sleepAfter' | 'restart' | 'schedule' | 'web'>>,
): Promise<Vm> {
  const before = box.store.state
  const { id } = findVm(before, name)
  await box.store.update((state) => withVm(id, change(findVm(state, id)))(state))
  const vm = findVm(box.store.state, id)
  if (keysDiffer(before, box.store.state, id)) tellGuests(box, (each) => each.id === id)
  box.events.publish({ type: 'vm.changed', vm: id, name: vm.name })
  return vm
}

/**
 * Changes what a VM gets beside others, and at most: at once when it runs. When it can't be held to a limit, all is as
 * before; a priority is kept, for where it can be had.
 * @throws CroftError `unavailable`, `not-found`, `conflict`
 */
export async function shareVm(
  box: Box,
  name: string,
  { priority, rates }: { priority?: Share['priority']; rates: Partial<Rates> },
): Promise<void> {
  checkRates(box, rates)
  await whileAllowed(box, name, 'limit', async (before, state) => {
    const { id } = before
    const change = { priority: priority ?? before.priority, rates: { ...before.rates, ...rates } }
    const after = { ...before, ...change }
    if (state === 'awake' || state === 'paused') await changeRunning(box, before, after)
    else if (after.rates.netBitsPerS !== before.rates.netBitsPerS) await box.network.add(after)
    await box.store.update(withVm(id, change))
    box.events.publish({ type: 'vm.changed', vm: id, name: before.name })
  })
}

async function changeRunning(box: Box, before: Vm, after: Vm): Promise<void> {
  const { failed } = await applyShare(box, after, before)
  for (const [what, err] of failed) {
    if (what === 'cpuWeight' || what === 'diskWeight') continue
    await share(box, before, after)
    throw what === 'cpuPercent' && lacksCgroups(err) ? noCgroups(err) : err
  }
}
