import { fault } from '../../lib/async/fault.ts'
import { CroftError } from '../../lib/error.ts'
import type { Appointment, Vm } from '../../store/index.ts'
import type { Answer } from '../appointment/guest-answer.ts'
import { inquire } from '../appointment/inquire.ts'
import { type Box, findVm, stateOf, vmOfDomain, withVm } from '../box.ts'
import { isOver, type LiveState } from '../live.ts'
import { exclusively } from '../operation/exclusively.ts'
import { awaitAgent, makeReady, readyLock } from '../vm/boot.ts'
import { resumeVm } from '../vm/own-disk.ts'
import { checkAllowed } from '../vm/state.ts'
import { unlessNeeded } from './sleep-aborts.ts'

/**
 * A VM that dozes keeps its memory in its QEMU, which stands still. The store says so from before the suspend until the
 * VM can be used again: whatever cuts the daemon off between, the next start finds a VM that dozes, or one that runs
 * and may not know yet what has changed meanwhile (`settleDozes` in reconcile.ts).
 */
export const dozeFaultPoints = ['doze.suspend', 'doze.suspended', 'doze.resume', 'doze.resumed'] as const

/** How long libvirt's event of a suspend or a resume may take. */
const eventMs = 10_000

/** What the record of a VM says that no longer dozes. */
export const notDozing = { dozing: false, appointment: null } as const

/**
 * Asks a VM what is due in it and has it doze: it costs no CPU, and goes on within milliseconds when somebody needs it.
 * Does nothing when it already dozes.
 * @param wanted checked again once the VM's lock is held: false leaves it awake, as does `stays`, by what the guest says
 * @throws CroftError `conflict` when it is not awake or somebody is in it, `cancelled` when somebody needs it
 */
export async function doze(
  box: Box,
  name: string,
  wanted: () => boolean | Promise<boolean> = () => true,
  stays?: (vm: Vm, answer: Answer) => boolean,
): Promise<Vm> {
  const vm = findVm(box.store.state, name)
  const { id } = vm
  if (canDoze(box, vm))
    await unlessNeeded(box, vm, async (signal) => {
      // Not under its lock: the guest may take seconds to answer.
      const answer = await inquire(box, vm, signal)
      if (stays?.(vm, answer)) return
      await exclusively(box, id, async () => {
        if (!(await wanted())) return
        signal.throwIfAborted()
        const now = findVm(box.store.state, id)
        if (canDoze(box, now)) await suspend(box, now, answer.appointment)
      })
    })
  return findVm(box.store.state, id)
}

/** Whether a VM can doze now; false when it already does. @throws CroftError as `doze` */
function canDoze(box: Box, vm: Vm): boolean {
  const state = stateOf(box, vm)
  checkAllowed('doze', vm.name, state)
  if (state === 'dozing') return false
  const inside = box.usage.inside(vm.id)
  if (inside === undefined) return true
  throw new CroftError('conflict', `${vm.name} can't doze now: it is in use (${inside}).`, {
    hint: `To move its memory to disk regardless: croft sleep ${vm.name}`,
  })
}

/**
 * Suspends an awake VM; the caller holds its lock. Nobody is telling the guest anything at that moment: it would go
 * unheard. @throws CroftError; the VM then runs on
 */
async function suspend(box: Box, vm: Vm, appointment: Appointment | null): Promise<void> {
  const { id, uuid } = vm
  const noted = box.store.update(withVm(id, { dozing: true, appointment }))
  // From now on, callers that need the VM wait for the lock, and web requests ask first.
  box.events.publish({ type: 'vm.changed', vm: id, name: vm.name })
  await noted
  try {
    await box.locks.run(readyLock(vm), async () => {
      fault('doze.suspend')
      await box.hypervisor.pause(uuid)
      fault('doze.suspended')
      await box.live.waitFor(uuid, (live) => live?.domain !== 'running', eventMs)
    })
  } catch (error) {
    await box.hypervisor
      .resume(uuid)
      .then(() => box.store.update(withVm(id, notDozing)))
      .catch((err) => box.log.warn({ vm: id, err }, 'whether it dozes is settled when libvirt is back'))
    throw error
  }
}

/**
 * Has a VM that dozes or is paused go on, and waits until it runs. Only what has changed meanwhile is told first. Its
 * clock is set right in the background (clocks.ts). The caller holds its lock. @throws CroftError `guest-failed`
 */
export async function goOn(box: Box, vm: Vm): Promise<void> {
  fault('doze.resume')
  await resumeVm(box, vm)
  fault('doze.resumed')
  const live = await box.live.waitFor(vm.uuid, (live) => live?.domain !== 'paused', eventMs)
  if (live?.domain !== 'running' || live.ready) return
  await awaitAgent(box, vm, box.settings.bootTimeoutMs)
  await makeReady(box, vm, !live.agent)
}

/**
 * Does `work` that needs a running guest. A VM that dozes goes on for it, and dozes again afterwards unless somebody has
 * used it meanwhile. The caller holds its lock.
 */
export async function whileRunning<T>(box: Box, vm: Vm, work: () => Promise<T>): Promise<T> {
  if (stateOf(box, vm) !== 'dozing') return work()
  await goOn(box, vm)
  const usedAt = box.usage.notedAt(vm.id)
  try {
    return await work()
  } finally {
    const now = box.store.state.vms[vm.id]
    if (now && stateOf(box, now) === 'awake' && box.usage.notedAt(vm.id) === usedAt)
      await suspend(box, now, vm.appointment).catch((err) => box.log.warn({ vm: vm.id, err }, 'could not doze again'))
  }
}

/**
 * Clears the note of each VM that dozed, and its appointment, as soon as it can be used or has ended, whatever resumed
 * it. @returns stops it
 */
export function keepDozes(box: Box): () => void {
  const isUsable = (live: LiveState | undefined) => live?.domain === 'running' && live.ready
  return box.live.watch((uuid, now, before) => {
    const vm = vmOfDomain(box.store.state, uuid)
    // What runs when the daemon first learns of it is for `settleDozes`.
    const goesOn = isUsable(now) && before !== undefined && !isUsable(before)
    if (!vm?.dozing || !(goesOn || isOver(now))) return
    // Somebody has resumed it by hand.
    if (goesOn && !box.locks.isLocked(vm.id)) box.usage.note(vm.id, 'it went on')
    box.store
      .update(withVm(vm.id, notDozing))
      .catch((err) => box.log.error({ vm: vm.id, err }, 'could not note that it no longer dozes'))
  })
}
