import { setTimeout as delay } from 'node:timers/promises'
import type { Vm } from '../store/index.ts'
import { type Box, specOf, stateOf, vmOfDomain, vmsOf, withVm } from './box.ts'
import type { DomainEvent } from './interfaces/hypervisor.ts'
import { collectGarbage, removeOrphans } from './layer/garbage.ts'
import { lockOf } from './operation/engine.ts'
import { makeReady } from './vm/boot.ts'
import { crashed } from './vm/crashes.ts'
import { systemEntry } from './vm/system-entry.ts'

/**
 * Makes store and libvirt agree again: after a start of the daemon, a restart of libvirtd, a reboot of the box.
 * First open operations are finished or undone, then what differs is mended. Safe to run at any time, any number of times.
 * @param bootId the kernel's boot id; another one than the store's means that the box has been restarted
 */
async function reconcile(box: Box, bootId: string): Promise<void> {
  box.live.replace(await box.hypervisor.domains())
  await recoverOperations(box)
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

/** What is under way is not open: it may be the build of an image, which nobody here needs to wait for. */
async function recoverOperations(box: Box): Promise<void> {
  for (const operation of Object.values(box.store.state.operations)) {
    if (box.locks.isHeld(lockOf(operation))) continue
    await box.locks
      .run(lockOf(operation), () => box.recoverIfOpen(box, operation))
      .catch((err) => box.log.error({ operation, err }, 'an operation stays open and is tried again later'))
  }
}

/** Somebody undefined a domain by hand: its disk and record are ours, so it comes back. */
async function defineMissing(box: Box): Promise<void> {
  for (const vm of Object.values(box.store.state.vms)) {
    if (vm.phase !== 'ready' || box.live.get(vm.uuid) || box.locks.isLocked(vm.id)) continue
    await box.hypervisor
      .define(specOf(box.store.state, vm))
      .catch((err) => box.log.error({ vm: vm.id, err }, 'could not define its domain'))
  }
}

/** The box was restarted: what should run is started, in the background. Until then a daemon that comes anew goes on with it. */
function startAgain(box: Box, bootId: string): void {
  box.autostart
    .begin(box)
    .then(() => noteBoot(box, bootId))
    .catch((err) => box.log.error({ err }, 'could not start all that should run after the restart of the box'))
}

async function noteBoot(box: Box, bootId: string): Promise<void> {
  if (box.store.state.bootId !== bootId) await box.store.update((state) => ({ ...state, bootId }))
}

/** Guests that turned themselves off while nobody watched are off because somebody in them wanted so. */
async function noteEnded(box: Box): Promise<void> {
  for (const vm of Object.values(box.store.state.vms)) {
    if (box.autostart.has(vm.id) || box.locks.isLocked(vm.id)) continue
    if (vm.power === 'on' && stateOf(box, vm) === 'stopped') {
      await box.store.update(withVm(vm.id, { power: 'off' }))
    }
  }
}

/** Guests that came up while nobody could tell them who they are: told now, in the background. */
function readyStarting(box: Box): void {
  for (const vm of vmsOf(box.store.state)) {
    if (box.locks.isLocked(vm.id) || stateOf(box, vm) !== 'starting' || !box.live.get(vm.uuid)?.agent) continue
    makeReady(box, vm, true).catch((err) => box.log.warn({ vm: vm.id, err }, 'could not be made ready'))
  }
}

const retryMs = 60_000

/**
 * Reconciles at each new connection to libvirt, and again from time to time while an operation stays open.
 * @returns `first`, which resolves after the first reconciliation, and `stop`
 */
export function keepReconciled(box: Box, bootId: string): { first: Promise<void>; stop(): void } {
  const first = Promise.withResolvers<void>()
  let under: Promise<void> = Promise.resolve()
  const again = () => {
    under = under
      .then(() => reconcile(box, bootId))
      .catch((err) => box.log.error({ err }, 'could not reconcile; tried again'))
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
 * Follows libvirt's events: keeps the live picture, writes down when a guest turns itself off, makes ready a guest
 * whose boot nobody else attends to, and tells the event log.
 * @param onConnected called whenever the connection is new, to reconcile
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

/** @param asked the guest was asked to shut down */
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
  if (busy) return
  if (event.type === 'agent' && event.connected && stateOf(box, vm) === 'starting') {
    makeReady(box, vm, true).catch((err) => box.log.warn({ vm: vm.id, err }, 'could not be made ready'))
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
    // What is found crashed at a start of the daemon was written down when it happened.
    if (before !== undefined) void box.activity.note(systemEntry(vm, crashed, more))
    lastWords(box, vm).then(
      (console) => box.events.publish({ ...event, console }),
      () => box.events.publish(event),
    )
  }
}

/** The end of the console once no more comes: what QEMU wrote last is still on its way to the log when the event is here. */
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
