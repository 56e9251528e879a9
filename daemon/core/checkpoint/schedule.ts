import { repeat } from '../../lib/async/interval.ts'
import { asCroftError } from '../../lib/error.ts'
import type { Checkpoint, Vm } from '../../store/index.ts'
import { type Box, layerOf, stateOf, vmsOf } from '../box.ts'
import { held } from '../layer/holds.ts'
import { dayOf, hourOf, newestOfLatest } from '../retention.ts'
import { systemEntry } from '../vm/system-entry.ts'
import { checkpointsOf } from './find.ts'
import { removeCheckpoint } from './remove.ts'
import { takeCheckpoint } from './take.ts'

export type Schedule = Vm['schedule']

const lookMs = 60_000
const hourMs = 3_600_000

/**
 * Takes scheduled checkpoints when they are due, and removes those that need not be kept any longer.
 * @param known resolves when it is known which VMs run @returns stops it
 */
export function keepSchedules(box: Box, known: Promise<void>): () => void {
  const failing = new Set<string>()
  /** When each VM's latest scheduled checkpoint was taken, by the steady clock. */
  const taken = new Map<string, number>()
  return repeat(lookMs, 'take the checkpoints that are due', box.log, async () => {
    await known
    if (box.hypervisor.trouble()) return
    for (const id of failing) if (!(id in box.store.state.vms)) failing.delete(id)
    for (const { id, schedule } of vmsOf(box.store.state)) {
      if (!isOn(schedule)) continue
      try {
        const at = taken.get(id)
        const restedMs = at === undefined ? undefined : performance.now() - at
        if (await keepSchedule(box, id, new Date(), restedMs)) taken.set(id, performance.now())
        failing.delete(id)
      } catch (err) {
        if (!failing.has(id)) warn(box, id, err)
        failing.add(id)
      }
    }
  })
}

/**
 * Takes and removes the scheduled checkpoints of one VM.
 * @param restedMs time since its latest scheduled checkpoint, if known @returns whether one was taken
 */
async function keepSchedule(box: Box, id: string, now: Date, restedMs: number | undefined): Promise<boolean> {
  const scheduled = () => checkpointsOf(box.store.state, { id }).filter(({ kind }) => kind === 'scheduled')
  const vm = box.store.state.vms[id]
  if (!vm) return false
  const isTaken = isDue(vm.schedule, scheduled(), now, restedMs) && (await isWorthIt(box, vm))
  if (isTaken) {
    const labels = checkpointsOf(box.store.state, vm).map(({ label }) => label)
    const label = autoLabel(labels, now)
    await box.activity.during(
      systemEntry(vm, `took the scheduled checkpoint ${label}`),
      takeCheckpoint(box, id, label, 'scheduled', () => {}),
    )
  }
  for (const old of outdated(vm.schedule, scheduled())) {
    // A checkpoint that a copy is being made from is removed next time.
    if (!held(box).has(old.id)) await removeCheckpoint(box, id, old.id)
  }
  return isTaken
}

/** Whether a checkpoint would hold anything new: one of a VM that does not run does only if its disk has changed. */
async function isWorthIt(box: Box, vm: Vm): Promise<boolean> {
  const state = stateOf(box, vm)
  if (state === 'awake') return true
  if (!['dozing', 'asleep', 'stopped', 'crashed'].includes(state)) return false
  // Each checkpoint gives the VM a new disk: if that has been written at all, the VM has changed since.
  return box.files.isWritten(layerOf(box.store.state, vm.disk))
}

function warn(box: Box, id: string, err: unknown): void {
  box.log.error({ vm: id, err }, 'a scheduled checkpoint was not taken; retried every minute')
  const name = box.store.state.vms[id]?.name ?? id
  const message = `A scheduled checkpoint of ${name} was not taken (retried every minute): ${asCroftError(err).message}`
  box.events.publish({ type: 'box.warning', vm: id, name, message })
}

export const isOn = ({ hourly, daily }: Schedule): boolean => hourly > 0 || daily > 0

type Taken = Pick<Checkpoint, 'id' | 'createdAt'>

/**
 * Whether the latest scheduled checkpoint is from a different clock hour or, where only daily ones are kept, a
 * different day. Different rather than later, because the clock may have been set back. None is due while the latest is
 * less than half an hour, or half a day, old: the clock was set, and each new checkpoint replaces an old one. Pure.
 * @param scheduled oldest first
 * @param restedMs time since the latest was taken, by a clock that nobody sets, if known
 */
export function isDue(schedule: Schedule, scheduled: readonly Taken[], now: Date, restedMs = Infinity): boolean {
  if (!isOn(schedule)) return false
  const [period, ms] = schedule.hourly > 0 ? ([hourOf, hourMs] as const) : ([dayOf, 24 * hourMs] as const)
  const latest = scheduled.at(-1)
  return restedMs >= ms / 2 && (latest === undefined || period(latest.createdAt) !== period(now.toISOString()))
}

/**
 * The scheduled checkpoints to remove: all but the newest of each of the latest `hourly` clock hours, and of each of
 * the latest `daily` days, that have one. Pure.
 * @param scheduled oldest first
 */
export function outdated<T extends Taken>({ hourly, daily }: Schedule, scheduled: readonly T[]): T[] {
  const newestFirst = scheduled.toReversed()
  const latest = (count: number, period: (iso: string) => string) =>
    newestOfLatest(newestFirst, ({ createdAt }) => createdAt, count, period)
  const kept = new Set([...latest(hourly, hourOf), ...latest(daily, dayOf)])
  return newestFirst.filter((each) => !kept.has(each))
}

/** Makes a label such as auto-2026-11-24-2200, in UTC; with -2, -3, … when that one exists. Pure. */
export function autoLabel(labels: readonly string[], now: Date): string {
  const iso = now.toISOString()
  const label = `auto-${dayOf(iso)}-${iso.slice(11, 13)}${iso.slice(14, 16)}`
  if (!labels.includes(label)) return label
  let number = 2
  while (labels.includes(`${label}-${number}`)) number++
  return `${label}-${number}`
}
