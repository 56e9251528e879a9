import { asCroftError } from '../../lib/error.ts'
import { minutes, moment } from '../../lib/text/units.ts'
import type { Appointment, Vm } from '../../store/index.ts'
import { type Box, stateOf, vmOfDomain, vmsOf, withVm } from '../box.ts'
import { watchClock } from '../clocks.ts'
import { loads } from '../sleep/memory.ts'
import { ensureAwake } from '../sleep/wake.ts'
import { systemEntry } from '../vm/system-entry.ts'
import { type Alarm, nextToWake, wakeTimes } from './wake-times.ts'

/** A VM that could not be woken is tried again after this time. */
const againMs = 30_000
/** An appointment that was missed by less is not told as late. */
const lateMs = 60_000
/** Timers stand still while the box is suspended, so none is set for longer. */
const longestTimerMs = 60_000

/**
 * How VMs are woken, by the state that they rest in: how long before the appointment, how many at once, and the words
 * for it. One that dozes goes on within milliseconds, but after a restart of the daemon it is told everything first.
 */
const kinds = {
  asleep: {
    leadMs: 15_000,
    most: (box: Box): number => loads(box).size,
    did: 'woke it',
    was: 'was woken',
    why: 'woken',
    not: 'could not be woken',
  },
  dozing: {
    leadMs: 5_000,
    most: () => Number.POSITIVE_INFINITY,
    did: 'had it go on',
    was: 'went on',
    why: 'it went on',
    not: 'could not go on',
  },
}
type Rest = keyof typeof kinds

/**
 * Wakes VMs before something is due in them, by the time of day: those that sleep a few at once, and those that doze.
 * Forgets the appointment of a VM when it is awake, for whatever reason.
 * @param known resolves when it is known which VMs run @returns stops it
 */
export function keepAppointments(box: Box, known: Promise<void>): () => void {
  const alarms = [alarmsOf(box, 'asleep'), alarmsOf(box, 'dozing')]
  const look = () => {
    for (const each of alarms) each.look()
  }
  const stops = alarms.map(({ stop }) => stop)
  let isStopped = false
  void known.then(() => {
    if (isStopped) return
    for (const vm of vmsOf(box.store.state)) if (vm.appointment && stateOf(box, vm) === 'awake') void forget(box, vm)
    stops.push(
      box.store.watch((before) => before.vms !== box.store.state.vms && look()),
      box.live.watch((uuid, now, before) => {
        const vm = now?.ready && !before?.ready ? vmOfDomain(box.store.state, uuid) : undefined
        if (vm?.appointment) void forget(box, vm)
        look()
      }),
      watchClock(look),
    )
    look()
  })
  return () => {
    isStopped = true
    for (const stop of stops) stop()
  }
}

/** The alarms of the VMs that rest in this state. @returns `look`, which wakes those that are due, and `stop` */
function alarmsOf(box: Box, rest: Rest): { look(): void; stop(): void } {
  const { leadMs } = kinds[rest]
  const most = kinds[rest].most(box)
  const waking = new Set<string>()
  /** VMs that could not be woken, with the steady time of the next attempt. */
  const failed = new Map<string, number>()
  let timer: NodeJS.Timeout | undefined
  let isStopped = false
  const look = () => {
    clearTimeout(timer)
    if (isStopped) return
    const now = Date.now()
    const resting = vmsOf(box.store.state).filter((vm) => vm.appointment && stateOf(box, vm) === rest)
    for (const id of failed.keys()) if (!resting.some((vm) => vm.id === id)) failed.delete(id)
    const alarms = resting
      .filter(({ id }) => !waking.has(id))
      .map(({ id, appointment, priority }) => ({ id, at: Date.parse(appointment!.at), priority }))
    const timed = wakeTimes(alarms, most, leadMs)
    const isReady = ({ id }: Alarm) => (failed.get(id) ?? 0) <= performance.now()
    for (let left = most - waking.size; left > 0; left--) {
      const next = nextToWake(
        timed.filter((each) => isReady(each) && !waking.has(each.id)),
        now,
      )
      if (!next) break
      waking.add(next.id)
      void wakeOne(box, next.id, rest, failed.has(next.id)).then((isAwake) => {
        waking.delete(next.id)
        if (!isAwake) failed.set(next.id, performance.now() + againMs)
        look()
      })
    }
    const waitsMs = timed
      .filter(({ id }) => !waking.has(id))
      .map(({ id, wakeAt }) => Math.max(wakeAt - now, (failed.get(id) ?? 0) - performance.now()))
    // While as many as may are being woken, the first that is awake looks again.
    if (waitsMs.length === 0 || waking.size >= most) return
    timer = setTimeout(look, Math.min(longestTimerMs, ...waitsMs)).unref()
  }
  return {
    look,
    stop() {
      isStopped = true
      clearTimeout(timer)
    },
  }
}

/**
 * Wakes a VM for its appointment. The end of a doze is logged only when it is late, because a doze is not logged.
 * @param isTold whether it was already told that the VM could not be woken @returns whether it is awake
 */
async function wakeOne(box: Box, id: string, rest: Rest, isTold: boolean): Promise<boolean> {
  const vm = box.store.state.vms[id]
  const appointment = vm?.appointment
  if (!vm || !appointment) return true
  const { did, was, why, not } = kinds[rest]
  const late = Date.now() - Date.parse(appointment.at)
  const isLate = late > lateMs
  const entry = systemEntry(vm, `${did} for ${appointment.what}${isLate ? `, ${minutes(late / 60_000)} late` : ''}`)
  const usedAt = rest === 'dozing' ? box.usage.usedAt(id) : undefined
  const isLogged = rest === 'asleep' || isLate
  try {
    const waking = ensureAwake(box, id)
    await (isTold || !isLogged ? waking : box.activity.during(entry, waking))
    if (isTold && isLogged) await box.activity.note(entry)
    box.usage.noteErrand(id, `${why} for ${appointment.what}`, usedAt)
    if (isLate) warn(box, vm, `${was} ${minutes(late / 60_000)} late for ${inWords(appointment)}.`)
    return true
  } catch (err) {
    if (!(id in box.store.state.vms)) return true
    if (isTold) return false
    box.log.warn({ vm: id, err }, 'could not be woken for what is due in it; retried')
    warn(box, vm, `${not} for ${inWords(appointment)} (retried): ${asCroftError(err).message}`)
    return false
  }
}

const inWords = ({ at, what }: Appointment): string => `${what}, which was due at ${moment(new Date(at), 'lately')}`

function warn(box: Box, { id, name }: Vm, what: string): void {
  box.events.publish({ type: 'box.warning', vm: id, name, message: `${name} ${what}` })
}

async function forget(box: Box, { id }: Vm): Promise<void> {
  await box.store
    .update(withVm(id, { appointment: null }))
    .catch((err) => box.log.warn({ vm: id, err }, 'could not be noted as awake'))
}
