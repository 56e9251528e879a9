import { timeOf } from '../../lib/async/steady-clock.ts'
import { CroftError } from '../../lib/error.ts'
import type { Vm } from '../../store/index.ts'
import { type Box, stateOf, vmOfDomain, vmsOf } from '../box.ts'
import { exclusively } from '../operation/exclusively.ts'
import { bootVm } from './boot.ts'
import { systemEntry } from './system-entry.ts'

/** How the activity log describes a crash. */
export const crashed = 'it crashed'

/** A VM's crash: when, why, and how its console ends. */
export interface Crash {
  /** ISO 8601. */
  at: string
  /** One of libvirt's words. */
  reason: string
  /** The last lines of its console, as text that is safe to print. */
  console: string
}

const lastLines = 12

/** Describes a VM's crash. @returns undefined unless the VM is crashed */
export async function crashOf(box: Box, vm: Vm): Promise<Crash | undefined> {
  const live = box.live.get(vm.uuid)
  if (stateOf(box, vm) !== 'crashed' || !live) return undefined
  // A daemon that started after the crash knows its time only from the activity log.
  const { entries } = await box.activity.read({
    limit: 1,
    may: ({ what, vms }) => what === crashed && vms.some(({ id }) => id === vm.id),
  })
  const console = await box.guests.consoleTail(vm, lastLines).catch(() => '')
  return { at: entries[0]?.at ?? timeOf(live.since).toISOString(), reason: live.reason, console }
}

const firstMs = 1_000
const longestMs = 5 * 60_000
/** After running for this long, a VM counts as recovered from its last crash. */
const steadyMs = 10 * 60_000

/**
 * Restarts crashed VMs that are set to restart: after a second, and with twice the delay each time one crashes again
 * soon, up to five minutes.
 * @returns stops it
 */
export function keepRestarting(box: Box): () => void {
  /** By the VM's id: the delay before its last restart, when that was due, and the timer of a pending one. */
  const tries = new Map<string, { waitMs: number; dueAt: number; timer: NodeJS.Timeout | undefined }>()
  const isDue = (id: string) => {
    const vm = box.store.state.vms[id]
    return vm?.restart === 'on-crash' && vm.power === 'on' && stateOf(box, vm) === 'crashed' ? vm : undefined
  }
  const schedule = (id: string) => {
    for (const each of tries.keys()) if (!(each in box.store.state.vms)) tries.delete(each)
    const last = tries.get(id)
    if (last?.timer || !isDue(id)) return
    const now = performance.now()
    const waitMs = last && now - last.dueAt < steadyMs ? Math.min(2 * last.waitMs, longestMs) : firstMs
    const timer = setTimeout(() => {
      tries.set(id, { waitMs, dueAt: performance.now(), timer: undefined })
      void start(id)
    }, waitMs).unref()
    tries.set(id, { waitMs, dueAt: now + waitMs, timer })
  }
  const start = async (id: string) => {
    try {
      await exclusively(box, id, async () => {
        const vm = isDue(id)
        if (!vm) return
        const booted = box.governor.admit(vm.name, () => bootVm(box, vm, () => {}))
        await box.activity.during(systemEntry(vm, 'started it after it crashed'), booted)
      })
    } catch (err) {
      if (!(err instanceof CroftError)) box.log.error({ vm: id, err }, 'could not start it after it crashed')
      schedule(id)
    }
  }
  const unwatch = box.live.watch((uuid, now, before) => {
    if (now?.domain !== 'crashed' || before?.domain === 'crashed') return
    const vm = vmOfDomain(box.store.state, uuid)
    if (vm) schedule(vm.id)
  })
  for (const { id } of vmsOf(box.store.state)) schedule(id)
  return () => {
    unwatch()
    for (const { timer } of tries.values()) clearTimeout(timer)
  }
}
