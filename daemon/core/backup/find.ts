import { CroftError } from '../../lib/error.ts'
import type { State } from '../../store/index.ts'
import type { Backup } from '../interfaces/backup-store.ts'

/** A backup of a VM. */
export type VmBackup = Backup & { of: { vm: string; name: string } }

/** Returns the backups of VMs with this name, or of the VM that has it now under whatever name. Oldest first. Pure. */
export function backupsOf(state: State, all: readonly Backup[], name: string): VmBackup[] {
  const own = Object.values(state.vms).find((vm) => vm.name === name)
  return all
    .filter((each): each is VmBackup => each.of !== 'box')
    .filter(({ of, instance }) => (own && instance === state.instance ? of.vm === own.id : of.name === name))
}

/** Finds a backup of whatever VM by the beginning of its id, 6 characters or more. Pure. */
export const findById = (all: readonly Backup[], id: string): VmBackup | undefined =>
  id.length < 6 ? undefined : all.find((each): each is VmBackup => each.of !== 'box' && each.id.startsWith(id))

/**
 * Finds a backup by the beginning of its id, or by a time: the newest that is not later. Pure.
 * @param when undefined for the newest @throws CroftError `not-found`
 */
export function findBackup(backups: readonly VmBackup[], name: string, when: string | undefined): VmBackup {
  const hint = 'croft backup ls shows them all.'
  if (backups.length === 0)
    throw new CroftError('not-found', `There is no backup of ${name}.`, { hint, argument: 'vm' })
  const found =
    when === undefined
      ? backups.at(-1)
      : (findById(backups, when) ?? backups.findLast(({ at }) => at <= latestOf(when)))
  if (!found) {
    throw new CroftError('not-found', `There is no backup of ${name} as of ${JSON.stringify(when)}.`, {
      hint: `Give an id or a time, such as 2026-11-30 or 2026-11-30T18:00. ${hint}`,
      argument: 'when',
    })
  }
  return found
}

/** The last instant of a day, minute or second that is written as ISO 8601 in UTC; before all times for other words. Pure. */
function latestOf(when: string): string {
  return /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d)?Z?)?$/.test(when) ? `${when.replace(/Z$/, '')}\uffff` : ''
}
