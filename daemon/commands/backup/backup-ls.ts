import { z } from 'zod'
import { backupsOf, type VmBackup } from '../../core/backup/find.ts'
import { vmsOf } from '../../core/box.ts'
import { ago, bytes } from '../../lib/text/units.ts'
import { vmArg } from '../kit/args.ts'
import { command } from '../kit/command.ts'
import { table } from '../kit/text.ts'
import { backupResult, backupStateResult, describeBackup, describeState, noTarget, utc } from './results.ts'

export const backupLsCommand = command({
  name: 'backup ls',
  summary: 'List backups',
  details:
    'With a name: all backups of that VM, which may be gone. Without: when each VM and the box itself were last backed up, when it was last proven that a backup comes back, and what failed.',
  examples: ['croft backup ls', 'croft backup ls web'],
  args: z.object({ vm: vmArg.optional() }),
  positional: ['vm'],
  result: z.object({
    target: z.string().nullable(),
    /** Of each VM and the box. Empty when a VM was named. */
    states: z.array(backupStateResult),
    /** The backups of the VM that was named, newest last; otherwise those of VMs that are gone. */
    backups: z.array(backupResult),
  }),
  touches: 'reads',
  async run({ box, signal }, { vm: name }) {
    const { state } = box.store
    const target = box.backups.target?.repository ?? null
    const all = target === null ? [] : await box.backups.list(signal)
    if (name !== undefined) return { target, states: [], backups: backupsOf(state, all, name).map(describeBackup) }
    const states = vmsOf(state).map((vm) => describeState(vm.name, state.backups.vms[vm.id]))
    const gone = all.filter((each): each is VmBackup => each.of !== 'box' && !(each.of.vm in state.vms))
    return { target, states: [...states, describeState(null, state.backups.box)], backups: gone.map(describeBackup) }
  },
  print({ target, states, backups }, view) {
    if (target === null) return noTarget(view)
    const list = table(
      backups,
      [
        { title: 'BACKUP', value: ({ id }) => id },
        { title: 'VM', value: ({ vm }) => vm, dress: () => 'bold' },
        { title: 'MADE', value: ({ at }) => ago(at, view.now) },
        { title: 'AT', value: ({ at }) => utc(at) },
      ],
      view,
    )
    if (states.length === 0) return backups.length ? list : 'There is no backup of it.\n'
    const last = table(
      states,
      [
        { title: 'VM', value: ({ vm }) => vm ?? 'the box itself', dress: () => 'bold' },
        { title: 'LAST', value: ({ at }) => (at ? ago(at, view.now) : 'never') },
        { title: 'SIZE', value: (each) => (each.at ? bytes(each.bytes) : '–'), right: true },
        { title: 'SENT', value: (each) => (each.at ? bytes(each.addedBytes) : '–'), right: true },
        { title: 'PROVEN', value: ({ vm, provenAt }) => (provenAt ? ago(provenAt, view.now) : vm ? 'never' : '') },
        { title: '', value: ({ error }) => (error ? `failed: ${error}` : '') },
      ],
      view,
    )
    return backups.length ? `${last}\nOf VMs that are gone:\n${list}` : last
  },
  names: ({ backups }) => backups.map(({ id }) => id),
})
