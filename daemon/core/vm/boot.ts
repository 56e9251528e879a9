import { Semaphore } from '../../lib/async/locks.ts'
import { CroftError } from '../../lib/error.ts'
import type { State, Vm } from '../../store/index.ts'
import { keysDiffer } from '../access/limit.ts'
import { type Box, type Report, specOf, stateOf } from '../box.ts'
import { isOver, type LiveState } from '../live.ts'
import { perBox } from '../per-box.ts'
import { lendOwnDisk } from './own-disk.ts'

/** Limits how many guests boot at once: each is up sooner than if all booted together. */
export const boots = perBox((box) => new Semaphore(Math.max(2, box.settings.most.cpus)))

/**
 * Starts a VM cold and waits until it can be used: the kernel boots, the guest agent answers, the guest is told who it
 * is, its SSH server runs. Waits for its turn when too many guests boot already.
 * @param signal aborted to stop waiting for the guest
 * @throws CroftError `guest-failed` with the last console lines when the guest does not come up; it is then left as is
 */
export async function bootVm(box: Box, vm: Vm, report: Report, signal?: AbortSignal): Promise<void> {
  const say = (step: string, fraction: number) => report({ subject: vm.name, step, fraction })
  say('waiting for its turn to boot', 0.1)
  await boots(box).run(async () => {
    say('booting', 0.15)
    await lendOwnDisk(box, vm)
    await box.network.add(vm)
    await box.hypervisor.define(specOf(box.store.state, vm))
    await powerOn(box, vm)
    say('waiting for its first answer', 0.3)
    await awaitAgent(box, vm, box.settings.bootTimeoutMs, signal)
    say('telling it who it is', 0.9)
    await makeReady(box, vm, true)
  })
}

/**
 * Starts the domain and marks it as started beforehand. libvirt's event may come later, and a wait that follows must
 * not mistake the state before the start for the one after it.
 */
async function powerOn(box: Box, vm: Vm): Promise<void> {
  box.live.apply({ type: 'started', uuid: vm.uuid, reason: 'asked' })
  try {
    await box.hypervisor.start(vm.uuid)
  } catch (error) {
    box.live.apply({ type: 'stopped', uuid: vm.uuid, how: 'powered-off', reason: 'did not start' })
    throw error
  }
}

/** After so many reboots without an answer from the agent, a guest is in a reboot loop: a panicking kernel reboots. */
const mostReboots = 3

/**
 * Waits until the guest agent answers.
 * @throws CroftError `guest-failed` with the last console lines when the guest ends, reboots in a loop or does not
 * answer in time
 */
export async function awaitAgent(box: Box, vm: Vm, timeoutMs: number, signal?: AbortSignal): Promise<void> {
  const before = box.live.get(vm.uuid)?.reboots ?? 0
  const circles = (live: LiveState | undefined) => (live?.reboots ?? 0) - before >= mostReboots
  try {
    const state = await box.live.waitFor(
      vm.uuid,
      (live) => live?.agent === true || isOver(live) || circles(live),
      timeoutMs,
      signal,
    )
    if (state?.agent) return
  } catch (error) {
    if (!(error instanceof CroftError && error.code === 'timed-out')) throw error
  }
  const state = box.live.get(vm.uuid)
  if (state?.domain !== 'running') throw await failed(box, vm, endedAsItStarted)
  const how = circles(state) ? `rebooted ${mostReboots} times` : `did not answer within ${timeoutMs / 1000} s`
  throw await failed(box, vm, `${how} while starting`)
}

const endedAsItStarted = 'ended while starting'

async function failed(box: Box, vm: Vm, how: string): Promise<CroftError> {
  const tail = await box.guests.consoleTail(vm, 5).catch(() => '')
  return new CroftError('guest-failed', `${vm.name} ${how}.${tail ? ` Its console ends with:\n${tail}` : ''}`, {
    hint: `To see more of its console: croft logs ${vm.name}`,
  })
}

/** How long after its agent fails the end of a guest may become known. */
const endMs = 2_000

/**
 * Tells a guest who it is.
 * @returns what could not be set in it @throws CroftError `guest-failed`, with the last console lines when it has ended
 */
async function personalize(box: Box, vm: Vm, booted: boolean): Promise<string[]> {
  try {
    return await box.guests.personalize(vm, booted)
  } catch (error) {
    const over = await box.live.waitFor(vm.uuid, isOver, endMs).catch(() => undefined)
    throw over ? await failed(box, vm, endedAsItStarted) : error
  }
}

/** The key of the lock that is held while a guest is told who it is. */
export const readyLock = ({ id }: Pick<Vm, 'id'>): string => `ready ${id}`

/**
 * Tells a running guest who it is, and marks it ready. Idempotent. If its keys change meanwhile, it is told again:
 * changing keys only notifies guests that are ready. A guest that dozes is told when it goes on, before anybody can
 * use it. @throws CroftError `guest-failed`
 * @param booted it has just booted
 */
export async function makeReady(box: Box, vm: Vm, booted: boolean): Promise<void> {
  await box.locks.run(readyLock(vm), async () => {
    if (stateOf(box, box.store.state.vms[vm.id] ?? vm) === 'dozing') return box.live.mark(vm.uuid, { ready: false })
    let told: State
    let unset: string[]
    do {
      told = box.store.state
      unset = await personalize(box, told.vms[vm.id] ?? vm, booted)
    } while (keysDiffer(told, box.store.state, vm.id))
    box.live.mark(vm.uuid, { ready: true })
    if (unset.length > 0) warnOf(box, told.vms[vm.id] ?? vm, unset)
  })
}

/** Warns about settings that could not be made in a guest. The VM runs regardless; its owner has to fix the cause. */
function warnOf(box: Box, { id, name }: Vm, unset: readonly string[]): void {
  box.log.warn({ vm: id, unset }, 'some settings could not be made in the guest')
  const message = `${name} runs, but some settings could not be made in it: ${unset.join(', ')}.`
  box.events.publish({ type: 'box.warning', vm: id, name, message })
}
