import { setTimeout as delay } from 'node:timers/promises'
import { CroftError } from '../../lib/error.ts'
import type { Vm } from '../../store/index.ts'
import { type Box, findVm, type Report, stateOf, vmsOf, withVm } from '../box.ts'
import { collectGarbage } from '../layer/garbage.ts'
import { whileAllowed } from '../operation/exclusively.ts'
import { goOn } from '../sleep/doze.ts'
import { wakeUp } from '../sleep/wake.ts'
import { awaitAgent, bootVm, makeReady } from './boot.ts'
import type { Action } from './state.ts'

/** How long to wait before a guest that has refused to shut down is asked again. */
const askAgainMs = 1_000

/**
 * Starts or wakes a VM and waits until it can be used; does nothing when it is already awake.
 * @returns also why a sleeping VM had to boot, if it had to @throws CroftError
 */
export async function startVm(box: Box, name: string, report: Report): Promise<{ vm: Vm; cold: string | undefined }> {
  let cold: string | undefined
  const started = await locked(box, name, 'start', async (vm) => {
    if (stateOf(box, vm) === 'asleep') {
      cold = await box.governor.admit(vm.name, () => wakeUp(box, vm, report))
      return
    }
    const bring = async () => {
      await box.store.update(withVm(vm.id, { power: 'on' }))
      await startUp(box, vm, report)
    }
    const runs = ['awake', 'starting', 'dozing', 'paused'].includes(stateOf(box, vm))
    await (runs ? bring() : box.governor.admit(vm.name, bring))
  })
  return { vm: started, cold }
}

async function startUp(box: Box, vm: Vm, report: Report): Promise<void> {
  switch (stateOf(box, vm)) {
    case 'awake':
      return
    case 'dozing':
    case 'paused':
      return goOn(box, vm)
    case 'starting':
      await awaitAgent(box, vm, box.settings.bootTimeoutMs)
      return makeReady(box, vm, true)
    default:
      return bootVm(box, vm, report)
  }
}

/**
 * Asks the guest to shut down and, if it has not done so within the grace period, turns its power off.
 * @returns how it ended
 */
export async function stopVm(
  box: Box,
  name: string,
  graceMs: number,
  report: Report,
): Promise<'shutdown' | 'powered-off'> {
  let how: 'shutdown' | 'powered-off' = 'shutdown'
  await locked(box, name, 'stop', async (vm) => {
    await wakeForShutdown(box, vm, graceMs, report)
    await box.store.update(withVm(vm.id, { power: 'off', memory: null }))
    how = await shutDown(box, vm, graceMs, report)
    await collectGarbage(box)
  })
  return how
}

/** Wakes a sleeping guest so that it can shut down. Without a grace period its memory is dropped, as by a power cut. */
async function wakeForShutdown(box: Box, vm: Vm, graceMs: number, report: Report): Promise<void> {
  if (graceMs > 0 && stateOf(box, vm) === 'asleep') await wakeUp(box, vm, report)
}

async function shutDown(box: Box, vm: Vm, graceMs: number, report: Report): Promise<'shutdown' | 'powered-off'> {
  const state = () => stateOf(box, box.store.state.vms[vm.id] ?? vm)
  const down = () => ['stopped', 'crashed'].includes(state())
  if (down()) return 'shutdown'
  if (graceMs > 0 && state() === 'dozing') await goOn(box, vm)
  if (graceMs > 0 && state() !== 'paused') {
    report({ subject: vm.name, step: 'shutting down', fraction: 0.3 })
    const late = performance.now() + graceMs
    try {
      await askToShutDown(box, vm, down, late)
      box.live.mark(vm.uuid, { stopping: true })
      await box.live.waitFor(vm.uuid, down, late - performance.now())
      return 'shutdown'
    } catch (error) {
      // A guest that won't or can't shut down is turned off; an unavailable libvirt says nothing about the guest.
      if (isAway(error)) throw error
    }
  }
  if (down()) return 'shutdown'
  report({ subject: vm.name, step: 'turning its power off', fraction: 0.9 })
  await box.hypervisor.powerOff(vm.uuid)
  await box.live.waitFor(vm.uuid, down, 10_000)
  return 'powered-off'
}

/**
 * Asks until the guest accepts: a single refusal (its service manager is busy, its agent is restarting) is no reason to
 * cut its power. @param late when to give up, by `performance.now()` @throws the last refusal
 */
async function askToShutDown(box: Box, vm: Vm, down: () => boolean, late: number): Promise<void> {
  for (;;) {
    try {
      return await box.hypervisor.askShutdown(vm.uuid, box.live.get(vm.uuid)?.agent === true)
    } catch (error) {
      if (down()) return
      if (isAway(error) || performance.now() + askAgainMs > late) throw error
      box.log.warn({ vm: vm.id, err: error }, 'refused to shut down; it is asked again')
      await delay(askAgainMs)
    }
  }
}

const isAway = (error: unknown): boolean => error instanceof CroftError && error.code === 'unavailable'

/** Stops a VM like `stopVm`, and boots it. */
export function restartVm(box: Box, name: string, graceMs: number, report: Report): Promise<Vm> {
  return locked(box, name, 'restart', async (vm) => {
    await wakeForShutdown(box, vm, graceMs, report)
    await shutDown(box, vm, graceMs, report)
    await box.store.update(withVm(vm.id, { power: 'on', memory: null }))
    await bootVm(box, vm, report)
  })
}

/** Shuts down all running VMs at the same time, without forgetting that they should run: for a shutdown of the box. */
export async function stopAll(box: Box, graceMs: number): Promise<void> {
  const running = vmsOf(box.store.state).filter((vm) => !['stopped', 'crashed', 'asleep'].includes(stateOf(box, vm)))
  // Under their locks, so that their ends are not mistaken for shutdowns from within the guests.
  await Promise.allSettled(running.map((vm) => box.locks.run(vm.id, () => shutDown(box, vm, graceMs, () => {}))))
}

async function locked(box: Box, name: string, action: Action, work: (vm: Vm) => Promise<void>): Promise<Vm> {
  const id = await whileAllowed(box, name, action, async (vm) => {
    await work(vm)
    return vm.id
  })
  return findVm(box.store.state, id)
}
