import { isOverdue, plannedVms } from '../core/backup/plan.ts'
import type { Box } from '../core/box.ts'
import type { Check } from '../core/interfaces/check.ts'
import { interval } from '../lib/text/units.ts'
import type { BackupRecord, State } from '../store/index.ts'

/** Checks whether there are backups, and whether they are as new as planned. */
export async function checkBackups({ box }: { box: Box }): Promise<Check> {
  return backupsCheck(box.store.state, box.backups.target?.repository, Date.now())
}

/** @param target undefined when the box has no place for backups @param now milliseconds since 1970 Pure. */
export function backupsCheck(state: State, target: string | undefined, now: number): Check {
  const what = 'backups'
  const { plan, vms, box } = state.backups
  if (target === undefined) {
    const says = 'none: what is on this disk is nowhere else'
    return { what, state: 'look', says, advice: 'croft backup to /mnt/backup, or sftp:, s3: or rest:' }
  }
  if (!plan) {
    const says = `they go to ${target}, but none are made by themselves`
    return { what, state: 'look', says, advice: 'croft backup auto --every 1d' }
  }
  const planned = plannedVms(state, plan)
  const late = planned.filter((vm) => isOverdue(vms[vm.id], vm.createdAt, plan.everyMinutes, now))
  const why = (records: (BackupRecord | null | undefined)[]) => records.find((record) => record?.error)?.error
  if (late.length > 0) {
    const names = late.slice(0, 5).map(({ name }) => name)
    const more = late.length > names.length ? ` and ${late.length - names.length} more` : ''
    const since = `for twice as long as planned, which is every ${interval(plan.everyMinutes)}`
    const reason = why(late.map(({ id }) => vms[id]))
    const says = `no backup ${since}: ${names.join(', ')}${more}${reason ? `. ${reason}` : ''}`
    return { what, state: 'wrong', says, advice: `croft backup now ${names[0]}` }
  }
  const reason = why([...planned.map(({ id }) => vms[id]), box])
  if (reason) return { what, state: 'look', says: `the last one failed, and is tried again: ${reason}` }
  return { what, state: 'fine', says: `every ${interval(plan.everyMinutes)} to ${target}` }
}
