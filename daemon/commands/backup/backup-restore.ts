import { z } from 'zod'
import { restoreBackup } from '../../core/backup/restore.ts'
import { findVm } from '../../core/box.ts'
import { seconds } from '../../lib/text/units.ts'
import { newNameArg, vmArg } from '../kit/args.ts'
import { command } from '../kit/command.ts'
import { describeMade, hadToBoot, madeResult, printMade } from '../results/made.ts'
import { utc } from './results.ts'

export const backupRestoreCommand = command({
  name: 'backup restore',
  summary: 'Bring a VM back from a backup',
  details:
    'Without a time: from the newest. The VM boots from the disk as it was. If there is such a VM, its current state is saved as a checkpoint first, so you can undo this. With --as, or when the VM is gone, a new VM is made. Only what this box has not got any more is read.',
  examples: [
    'croft backup restore web',
    'croft backup restore web 2026-11-28',
    'croft backup restore web --as web-old',
  ],
  args: z.object({
    vm: vmArg,
    when: z
      .string()
      .min(1)
      .max(64)
      .optional()
      .describe('An id of croft backup ls, or a time in UTC: the newest up to then')
      .meta({ placeholder: 'when' }),
    as: newNameArg.optional().describe('Make a new VM with this name instead').meta({ placeholder: 'name' }),
  }),
  positional: ['vm', 'when'],
  result: madeResult.extend({ backup: z.string(), at: z.string(), before: z.string().nullable() }),
  touches: 'changes',
  async run({ box, report, reached, signal }, { vm: name, when, as }) {
    const began = performance.now()
    const { backup, vm, before, cold } = await restoreBackup(box, name, { when, as }, report, signal)
    const made = describeMade({ box, reached }, findVm(box.store.state, vm), cold, began)
    return { ...made, backup: backup.id.slice(0, 8), at: backup.at, before: before?.label ?? null }
  },
  print(vm, view) {
    if (vm.before === null) return printMade(vm, view)
    return `${vm.name} is back as it was at ${utc(vm.at)} UTC, in ${seconds(vm.tookMs)}.\n${hadToBoot(vm.cold)}  undo   ${view.croft} restore ${vm.name} ${vm.before}\n`
  },
  names: (vm) => [vm.name],
})
