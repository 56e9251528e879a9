import { z } from 'zod'
import { backupsOf, findBackup } from '../../core/backup/find.ts'
import { vmArg } from '../kit/args.ts'
import { command } from '../kit/command.ts'
import { backupResult, describeBackup } from './results.ts'

export const backupRmCommand = command({
  name: 'backup rm',
  summary: 'Remove a backup',
  examples: ['croft backup rm web 3f2a91c0'],
  args: z.object({
    vm: vmArg,
    backup: z
      .string()
      .regex(/^[0-9a-f]{6,64}$/, 'it must be an id of croft backup ls')
      .describe('Its id, as croft backup ls shows it')
      .meta({ placeholder: 'backup' }),
  }),
  positional: ['vm', 'backup'],
  result: backupResult,
  touches: 'destroys',
  confirm: async (_, { vm, backup }) => `Remove the backup ${backup} of ${vm}? What only it has is lost.`,
  async run({ box, signal }, { vm, backup: id }) {
    const backup = findBackup(backupsOf(box.store.state, await box.backups.list(signal), vm), vm, id)
    await box.backups.forget([backup.id], signal)
    await box.backups.prune(signal)
    return describeBackup(backup)
  },
  print: ({ id, vm }) => `The backup ${id} of ${vm} is removed.\n`,
})
