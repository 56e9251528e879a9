import { repeat } from '../../lib/async/interval.ts'
import { asCroftError } from '../../lib/error.ts'
import { minutes } from '../../lib/text/units.ts'
import type { Vm } from '../../store/index.ts'
import { askConnected, noteStay, ownConnection, staysAwake } from '../appointment/inquire.ts'
import { type Box, findVm, stateOf, vmOfDomain, vmsOf } from '../box.ts'
import { sshSession, type Use } from '../usage.ts'
import { isUp } from '../vm/state.ts'
import { systemEntry } from '../vm/system-entry.ts'
import { doze } from './doze.ts'
import { putToSleep } from './sleep.ts'

const lookMs = 10_000

const minuteMs = 60_000

/**
 * Percent of one CPU, over the last minute, above which a guest counts as in use. An idle guest takes well under 1; an
 * emulated one takes 1 to 2, and several times that in the minute after it came up.
 */
const busyPercent = { kvm: 5, tcg: 20 }

/** Reads the ports to which the box has open TCP connections, by the other end's IPv4 address. */
export type ReadConnections = () => Promise<ReadonlyMap<string, readonly number[]>>

/**
 * Polls which awake VMs are in use. Puts to sleep those that have been idle for long enough, and has those doze that
 * have been idle for a while.
 * @returns `look`, which polls now, and `stop`
 */
export function watchIdle(box: Box, connections: ReadConnections): { look(): Promise<void>; stop(): void } {
  const unwatch = noteStarts(box)
  const percents = cpuPercents(box)
  const look = async () => {
    const awake = vmsOf(box.store.state).filter((vm) => stateOf(box, vm) === 'awake')
    if (awake.length === 0) return box.usage.see(new Map())
    const { accelerator } = box.settings
    const kind = accelerator === 'auto' ? (box.store.state.accelerator?.kind ?? 'kvm') : accelerator
    const [open, percent] = await Promise.all([connections(), percents()])
    const seen = awake.flatMap((vm): [string, string][] => {
      const ports = used(open.get(vm.ip) ?? [], box.guests.unusedConnections(vm))
      const signs = { ports, cpuPercent: percent.get(vm.uuid), most: busyPercent[kind] }
      const why = signOfUse(signs) ?? ownConnection(box, vm.id)
      return why === undefined ? [] : [[vm.id, why]]
    })
    box.usage.see(new Map(seen))
  }
  const unlook = repeat(lookMs, 'check which VMs are idle', box.log, async () => {
    // Poll again before each VM, because putting one to sleep, and asking it what is due, takes a while.
    for (;;) {
      if (box.hypervisor.trouble()) return
      await askConnected(box)
      await look()
      const vms = vmsOf(box.store.state).filter(({ id }) => !staysAwake(box, id))
      const idle = vms.find(({ id }) => isTime(box, id))
      // One whose layers are merged right now can wait: a doze would interrupt that.
      const dozes = idle ?? vms.find(({ id }) => isTimeToDoze(box, id) && !box.locks.isHeld(id))
      if (!dozes) break
      await (idle ? putIdleToSleep(box, idle.id) : dozeIdle(box, dozes.id, look))
    }
  })
  return {
    look,
    stop() {
      unlook()
      unwatch()
    },
  }
}

const sshPort = 22

/** The ports whose connections mean that a VM is in use. Pure. @param unused how many SSH connections are idle */
export function used(ports: readonly number[], unused: number): number[] {
  let waiting = unused
  return ports.filter((port) => port !== sshPort || waiting-- <= 0)
}

/** Counts a VM as used whenever it becomes ready, for whatever reason, and one that dozes when the daemon starts. */
function noteStarts(box: Box): () => void {
  return box.live.watch((uuid, now, before) => {
    const vm = vmOfDomain(box.store.state, uuid)
    if (!vm) return
    if (now?.ready && !before?.ready) box.usage.note(vm.id, 'it came up')
    else if (!before && stateOf(box, vm) === 'dozing') box.usage.note(vm.id, 'Croft started')
  })
}

/** Percent of one CPU that each guest took over the last minute, by UUID; time before it started counts as idle. */
function cpuPercents(box: Box): () => Promise<ReadonlyMap<string, number>> {
  let samples = new Map<string, { at: number; ns: number }[]>()
  let percents = new Map<string, number>()
  let at = Number.NEGATIVE_INFINITY
  return async () => {
    if (performance.now() - at < lookMs / 2) return percents
    const stats = [...(await box.hypervisor.stats())]
    at = performance.now()
    samples = new Map(
      stats.map(([uuid, { guestTimeNs: ns }]) => {
        // A count larger than the current one is from an earlier run of the domain.
        const past = (samples.get(uuid) ?? []).filter((each) => each.ns <= ns && at - each.at <= minuteMs)
        return [uuid, [...past, { at, ns }]]
      }),
    )
    percents = new Map([...samples].map(([uuid, of]) => [uuid, (of.at(-1)!.ns - of[0]!.ns) / (minuteMs * 1e4)]))
    return percents
  }
}

function isTime(box: Box, id: string): boolean {
  const vm = box.store.state.vms[id]
  const at = vm && sleepsAt(box, vm)
  return at instanceof Date && at <= new Date()
}

function isTimeToDoze(box: Box, id: string): boolean {
  const vm = box.store.state.vms[id]
  if (!vm || stateOf(box, vm) !== 'awake') return false
  const at = timeToSleep(dozeSeconds(sleepMinutes(box, vm), box.settings.defaults.dozeAfter) / 60, box.usage.of(id))
  return at !== null && at <= new Date()
}

/** Has a VM doze, if nothing is due in it soon and it is still idle when it has answered. */
async function dozeIdle(box: Box, id: string, look: () => Promise<void>): Promise<void> {
  const stillIdle = () => look().then(() => isTimeToDoze(box, id))
  try {
    await doze(box, id, stillIdle, (each, answer) => noteStay(box, each, answer, true))
  } catch (err) {
    if (!isTimeToDoze(box, id)) return // as when it is put to sleep
    // Retried after another full idle period.
    box.usage.note(id, 'it could not doze')
    box.log.error({ vm: id, err }, 'could not doze')
  }
}

/** Puts a VM to sleep, if it is still idle once its lock is free. */
async function putIdleToSleep(box: Box, id: string): Promise<void> {
  try {
    const restMinutes = minutesOfRest(box, findVm(box.store.state, id))
    const vm = await putToSleep(
      box,
      id,
      () => {},
      () => isTime(box, id),
      { stays: (each, answer) => noteStay(box, each, answer, true) },
    )
    if (stateOf(box, vm) !== 'asleep') return // it is used after all, or has a reason to stay awake
    box.log.info({ vm: id, state: stateOf(box, vm) }, 'put to sleep after being idle')
    await box.activity.note(systemEntry(vm, `put it to sleep, idle for ${minutes(restMinutes)}`))
  } catch (err) {
    if (!isTime(box, id)) return // somebody needed it after all, or has deleted it
    const vm = findVm(box.store.state, id)
    // Retried after another full idle period.
    box.usage.note(id, 'it could not be put to sleep')
    box.log.error({ vm: id, err }, 'could not be put to sleep')
    const { code, message: says } = asCroftError(err)
    const message = `${vm.name} was idle and could not be put to sleep: ${says}`
    box.events.publish({ type: 'box.warning', vm: id, name: vm.name, message })
    await box.activity.note(systemEntry(vm, 'put it to sleep, idle', { result: 'failed', code, says }))
  }
}

/** When a VM will go to sleep if nothing uses it; null when it never does, is in use now, or is not up. */
export function sleepsAt(box: Box, vm: Vm): Date | null {
  return isUp(stateOf(box, vm)) ? timeToSleep(minutesOfRest(box, vm), box.usage.of(vm.id)) : null
}

/** A VM that was woken for an appointment alone is put to sleep after so many minutes, if not sooner. */
const errandMinutes = 5

/**
 * Minutes without use until a VM is put to sleep, as it is awake now; 0 for never. Where it dozed before its errand, it
 * is not put to sleep before its time without other use is over.
 */
function minutesOfRest(box: Box, vm: Vm): number {
  const all = sleepMinutes(box, vm)
  const errandMs = box.usage.errandMs(vm.id)
  return errandMs === undefined ? all : Math.max(Math.min(all, errandMinutes), all - errandMs / minuteMs)
}

/** Minutes without use until a VM is put to sleep; 0 for never. */
export function sleepMinutes(box: Box, vm: Pick<Vm, 'sleepAfter'>): number {
  return vm.sleepAfter ?? box.settings.defaults.sleepAfter
}

/** Since when a VM that is awake or dozes has been idle; undefined when it is in use now or neither. */
export function idleSince(box: Box, vm: Vm): Date | undefined {
  const use = box.usage.of(vm.id)
  return isUp(stateOf(box, vm)) && use && !use.now ? use.at : undefined
}

/**
 * Seconds without use until a VM dozes; 0 for never, as for one that never goes to sleep by itself. Pure.
 * @param sleepAfter minutes without use until it sleeps @param dozeAfter the box's setting
 */
export const dozeSeconds = (sleepAfter: number, dozeAfter: number): number => (sleepAfter === 0 ? 0 : dozeAfter)

/** When a VM with this use goes to sleep; null for never or not yet. Pure. @param minutes without use; 0 for never */
export function timeToSleep(minutes: number, use: Use | undefined): Date | null {
  if (minutes === 0 || !use || use.now) return null
  return new Date(use.at.getTime() + minutes * 60_000)
}

/** Why a VM counts as in use, judging from outside; undefined when it doesn't. Pure. */
export function signOfUse(signs: {
  ports: readonly number[]
  cpuPercent: number | undefined
  /** Percent of one CPU that an idle guest may take. */
  most: number
}): string | undefined {
  const { ports, cpuPercent = 0, most } = signs
  if (ports.includes(sshPort)) return sshSession
  if (ports.length) return `a connection to port ${ports[0]}`
  return cpuPercent > most ? `CPU ${Math.round(cpuPercent)} %` : undefined
}
