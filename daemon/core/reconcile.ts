import { setTimeout as delay } from 'node:timers/promises'
import type { Vm } from '../store/index.ts'
import { type Box, specOf, stateOf, vmOfDomain, vmsOf, withVm } from './box.ts'
import type { DomainEvent } from './interfaces/hypervisor.ts'
import { collectGarbage, removeOrphans } from './layer/garbage.ts'
import { lockOf } from './operation/engine.ts'
import { notDozing } from './sleep/doze.ts'
import { makeReady } from './vm/boot.ts'
import { crashed } from './vm/crashes.ts'
import { systemEntry } from './vm/system-entry.ts'

/**
 * Makes store and libvirt agree again: after a start of the daemon, a restart of libvirtd, a reboot of the box.
 * It first finishes or undoes open operations, then repairs the differences. Idempotent; safe to run at any time.
 * @param bootId the kernel's boot id; if it differs from the store's, the box has been restarted
 */
async function reconcile(box: Box, bootId: string): Promise<void> {
  box.live.replace(await box.hypervisor.domains())
  await recoverOperations(box)
  await settleDozes(box)
  await box.network.restore()
  await defineMissing(box)
  const rebooted = box.store.state.bootId !== '' && box.store.state.bootId !== bootId
  if (rebooted && !box.autostart.begun) startAgain(box, bootId)
  else await noteEnded(box)
  readyStarting(box)
  if (!rebooted) await noteBoot(box, bootId)
  await collectGarbage(box)
  await removeOrphans(box)
}

/** Skips operations that are running now: one may be an image build, and reconciling need not wait for it. */
async function recoverOperations(box: Box): Promise<void> {
  for (const operation of Object.values(box.store.state.operations)) {
    if (box.locks.isHeld(lockOf(operation))) continue
    await box.locks
      .run(lockOf(operation), () => box.recoverIfOpen(box, operation))
      .catch((err) => box.log.error({ operation, err }, 'an operation stays open and is retried later'))
  }
}

/**
 * Settles the notes of VMs that do not stand still: the daemon ended when they were about to doze or had just gone on.
 */
async function settleDozes(box: Box): Promise<void> {
  for (const vm of Object.values(box.store.state.vms)) {
    if (!vm.dozing || box.locks.isLocked(vm.id)) continue
    const live = box.live.get(vm.uuid)
    // One that runs may know neither the time nor what has changed. When it has been told, it no longer counts as dozing.
    if (live?.domain === 'running' && live.agent) box.live.mark(vm.uuid, { ready: false })
    else if (live?.domain !== 'paused') await box.store.update(withVm(vm.id, notDozing))
  }
}

/** Defines domains again that somebody undefined by hand: their disks and records are ours. */
async function defineMissing(box: Box): Promise<void> {
  for (const vm of Object.values(box.store.state.vms)) {
    if (vm.phase !== 'ready' || box.live.get(vm.uuid) || box.locks.isLocked(vm.id)) continue
    await box.hypervisor
      .define(specOf(box.store.state, vm))
      .catch((err) => box.log.error({ vm: vm.id, err }, 'could not define its domain'))
  }
}

/**
 * Starts the VMs that should run after a restart of the box, in the background. The boot id is written only at the end,
 * so that a daemon that restarts meanwhile continues with the rest.
 */
function startAgain(box: Box, bootId: string): void {
  box.autostart
    .begin(box)
    .then(() => noteBoot(box, bootId))
    .catch((err) => box.log.error({ err }, 'could not start all VMs that should run after the restart of the box'))
}

async function noteBoot(box: Box, bootId: string): Promise<void> {
  if (box.store.state.bootId !== bootId) await box.store.update((state) => ({ ...state, bootId }))
}

/** Guests that shut themselves down while no daemon watched were meant to be off. */
async function noteEnded(box: Box): Promise<void> {
  for (const vm of Object.values(box.store.state.vms)) {
    if (box.autostart.has(vm.id) || box.locks.isLocked(vm.id)) continue
    if (vm.power === 'on' && stateOf(box, vm) === 'stopped') {
      await box.store.update(withVm(vm.id, { power: 'off' }))
    }
  }
}

/** Tells guests who they are that came up while no daemon could tell them, in the background. */
function readyStarting(box: Box): void {
  for (const vm of vmsOf(box.store.state)) {
    if (box.locks.isLocked(vm.id) || stateOf(box, vm) !== 'starting' || !box.live.get(vm.uuid)?.agent) continue
    makeReady(box, vm, true).catch((err) => box.log.warn({ vm: vm.id, err }, 'could not be made ready'))
  }
}

const retryMs = 60_000

/**
 * Reconciles at each new connection to libvirt, and every minute while an operation stays open.
 * @returns `first`, which resolves after the first reconciliation, and `stop`
 */
export function keepReconciled(box: Box, bootId: string): { first: Promise<void>; stop(): void } {
  const first = Promise.withResolvers<void>()
  let under: Promise<void> = Promise.resolve()
  const again = () => {
    under = under
      .then(() => reconcile(box, bootId))
      .catch((err) => box.log.error({ err }, 'could not reconcile; it is retried'))
    under.then(first.resolve)
  }
  const unfollow = follow(box, again)
  const timer = setInterval(() => {
    const open = Object.values(box.store.state.operations)
    if (open.some((operation) => !box.locks.isHeld(lockOf(operation)))) again()
  }, retryMs).unref()
  return {
    first: first.promise,
    stop() {
      clearInterval(timer)
      unfollow()
    },
  }
}

/**
 * Follows libvirt's events: keeps the live picture, records when a guest shuts itself down, makes a guest ready when no
 * operation handles its boot, and publishes events.
 * @param onConnected called at each new connection, to reconcile
 */
function follow(box: Box, onConnected: () => void): () => void {
  const unwatchLive = box.live.watch(announcer(box))
  const unwatch = box.hypervisor.watch((event) => {
    if (event.type === 'connected') {
      box.events.publish({ type: 'box.libvirt', connected: true })
      onConnected()
      return
    }
    if (event.type === 'disconnected') {
      box.events.publish({ type: 'box.libvirt', connected: false, reason: event.reason })
      return
    }
    const asked = box.live.get(event.uuid)?.stopping
    box.live.apply(event)
    settle(box, event, asked === true)
  })
  return () => {
    unwatch()
    unwatchLive()
  }
}

/** Reacts to an event of a VM that no operation handles. @param asked the guest was asked to shut down */
function settle(box: Box, event: Exclude<DomainEvent, { type: 'connected' | 'disconnected' }>, asked: boolean): void {
  const vm = vmOfDomain(box.store.state, event.uuid)
  if (vm?.phase !== 'ready') return
  const busy = box.locks.isLocked(vm.id)
  if (event.type === 'stopped' && event.how === 'shutdown' && !(busy && asked)) {
    const stayedOff = async () => {
      const now = box.store.state.vms[vm.id]
      if (now && stateOf(box, now) === 'stopped') await box.store.update(withVm(vm.id, { power: 'off' }))
    }
    box.locks.run(vm.id, stayedOff).catch((err) => box.log.error({ vm: vm.id, err }, 'could not note its end'))
  }
  if (busy || (event.type !== 'agent' && event.type !== 'resumed')) return
  // A guest that already stood still when the daemon started has not been made ready by it.
  if (box.live.get(event.uuid)?.agent && stateOf(box, vm) === 'starting') {
    makeReady(box, vm, event.type === 'agent').catch((err) =>
      box.log.warn({ vm: vm.id, err }, 'could not be made ready'),
    )
  }
}

/** Publishes each change of a VM's state once, with the last console lines when it crashed. */
function announcer(box: Box): (uuid: string) => void {
  const known = new Map<string, string>()
  return (uuid) => {
    const vm = vmsOf(box.store.state).find((each) => each.uuid === uuid)
    if (!vm) {
      known.delete(uuid)
      return
    }
    const state = stateOf(box, vm)
    const before = known.get(uuid)
    if (before === state) return
    known.set(uuid, state)
    const reason = box.live.get(uuid)?.reason ?? ''
    const event = { type: 'vm.state', vm: vm.id, name: vm.name, state, reason } as const
    if (state !== 'crashed') {
      box.events.publish(event)
      return
    }
    const more = { result: 'failed', says: reason ? `libvirt says: ${reason}.` : null } as const
    // A VM that had already crashed when the daemon started was logged when it happened.
    if (before !== undefined) void box.activity.note(systemEntry(vm, crashed, more))
    lastWords(box, vm).then(
      (console) => box.events.publish({ ...event, console }),
      () => box.events.publish(event),
    )
  }
}

/**
 * Returns the end of the console once it has stopped growing: when the event arrives, QEMU's last output may still be
 * on its way to the log.
 */
async function lastWords(box: Box, vm: Vm): Promise<string> {
  let said = await box.guests.consoleTail(vm, 50)
  for (let tries = 0; tries < 10; tries++) {
    await delay(50)
    const more = await box.guests.consoleTail(vm, 50)
    if (more === said) break
    said = more
  }
  return said
}
