import { repeat } from '../../lib/async/interval.ts'
import { asCroftError } from '../../lib/error.ts'
import type { BackupPlan, BackupRecord, Retention, State, Vm } from '../../store/index.ts'
import { type Box, vmsOf } from '../box.ts'
import type { Backup } from '../interfaces/backup-store.ts'
import { dayOf, monthOf, newestOfLatest, weekOf } from '../retention.ts'
import { backUpBox, backUpVm } from './back-up.ts'

const lookMs = 60_000
const minuteMs = 60_000
/** How often the box itself is backed up; it is small. */
const boxEveryMinutes = 60
/** A failed backup is tried again after a minute, then after twice as long each time, up to this. */
const longestRestMinutes = 60

/**
 * Makes the backups that are due, one after the other, and forgets those that need not be kept any longer.
 * @param known resolves when it is known which VMs run @returns stops it
 */
export function keepBackups(box: Box, known: Promise<void>): () => void {
  const stop = new AbortController()
  /** How often in a row the backup of each VM has failed, that of the box, and removing old ones. */
  const failures = new Map<string, number>()
  const attempt = async (key: string, what: string, work: () => Promise<unknown>) => {
    try {
      await work()
      failures.delete(key)
      return true
    } catch (err) {
      if (stop.signal.aborted) return false
      const before = failures.get(key) ?? 0
      failures.set(key, before + 1)
      if (before === 0) warn(box, key, what, err)
      return false
    }
  }
  const ends = repeat(lookMs, 'make the backups that are due', box.log, async () => {
    await known
    const { plan } = box.store.state.backups
    if (!plan || !box.backups.target || box.hypervisor.trouble()) return
    for (const id of failures.keys()) if (id.startsWith('vm_') && !(id in box.store.state.vms)) failures.delete(id)
    let any = false
    for (const { id } of plannedVms(box.store.state, plan)) {
      const { vms } = box.store.state.backups
      if (stop.signal.aborted) return
      const name = box.store.state.vms[id]?.name
      if (name === undefined || !isDue(vms[id], plan.everyMinutes, failures.get(id) ?? 0, Date.now())) continue
      const made = await attempt(id, name, () => backUpVm(box, id, () => {}, stop.signal))
      any ||= made
    }
    if (isDue(box.store.state.backups.box ?? undefined, boxEveryMinutes, failures.get('box') ?? 0, Date.now()))
      await attempt('box', 'the box', () => backUpBox(box, () => {}, stop.signal))
    if (any) await attempt('forget', 'old backups', () => forgetOld(box, plan.keep, stop.signal))
  })
  return () => {
    ends()
    stop.abort()
  }
}

/** The VMs that a plan covers. Pure. */
export const plannedVms = (state: State, { tag }: BackupPlan): Vm[] =>
  vmsOf(state).filter(({ tags }) => tag === null || tags.includes(tag))

/**
 * Whether a backup is due: the last one was begun an interval ago, or has failed and has rested. Pure.
 * @param failed how often in a row it has failed @param now milliseconds since 1970
 */
export function isDue(record: BackupRecord | undefined, everyMinutes: number, failed: number, now: number): boolean {
  if (!record) return true
  const rest = record.error === null ? everyMinutes : Math.min(2 ** failed / 2, longestRestMinutes, everyMinutes)
  const passed = now - Date.parse(record.triedAt)
  // Less than nothing has passed when the clock was set back.
  return passed < 0 || passed >= rest * minuteMs
}

/** Whether a VM has been without a new backup for twice the interval. Pure. */
export function isOverdue(
  record: BackupRecord | undefined,
  madeAt: string,
  everyMinutes: number,
  now: number,
): boolean {
  return now - Date.parse(record?.at ?? madeAt) > 2 * everyMinutes * minuteMs
}

/** Forgets the backups of this box that its plan does not keep, and those of VMs that are gone only by the same rule. */
async function forgetOld(box: Box, keep: Retention, signal: AbortSignal): Promise<void> {
  const { instance } = box.store.state
  const own = (await box.backups.list(signal)).filter((each) => each.instance === instance)
  const old = Object.values(Object.groupBy(own, ({ of }) => (of === 'box' ? 'box' : of.vm))).flatMap((group) =>
    surplus(group ?? [], keep),
  )
  if (old.length === 0) return
  await box.backups.forget(
    old.map(({ id }) => id),
    signal,
  )
  await box.backups.prune(signal)
}

/**
 * The backups that need not be kept: all but the newest of each of the latest days, weeks (from Monday) and months that
 * have one, all in UTC. The newest of all is always kept. Pure.
 * @param backups of one VM, oldest first
 */
export function surplus(backups: readonly Backup[], { daily, weekly, monthly }: Retention): Backup[] {
  const newestFirst = backups.toReversed()
  const latest = (count: number, period: (at: string) => string) =>
    newestOfLatest(newestFirst, ({ at }) => at, count, period)
  const kept = new Set([
    ...newestFirst.slice(0, 1),
    ...latest(daily, dayOf),
    ...latest(weekly, weekOf),
    ...latest(monthly, monthOf),
  ])
  return backups.filter((each) => !kept.has(each))
}

function warn(box: Box, key: string, what: string, err: unknown): void {
  box.log.error({ vm: key, err }, 'a backup failed; tried again')
  const message = `The backup of ${what} failed (tried again): ${asCroftError(err).message}`
  const vm = box.store.state.vms[key]
  box.events.publish({ type: 'box.warning', message, ...(vm && { vm: vm.id, name: vm.name }) })
}
