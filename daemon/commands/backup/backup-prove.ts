import { z } from 'zod'
import { proveBackup } from '../../core/backup/restore.ts'
import { seconds } from '../../lib/text/units.ts'
import { vmArg } from '../kit/args.ts'
import { command } from '../kit/command.ts'
import { backupResult, describeBackup, utc } from './results.ts'

export const backupProveCommand = command({
  name: 'backup prove',
  summary: 'Try whether the newest backup of a VM comes back',
  details:
    'Croft reads all of it from the target, makes another VM of it, waits until that can be used, and deletes it again.',
  examples: ['croft backup prove web'],
  args: z.object({ vm: vmArg }),
  positional: ['vm'],
  result: backupResult.extend({ tookMs: z.number() }),
  touches: 'changes',
  async run({ box, report, signal }, { vm: name }) {
    const began = performance.now()
    const backup = await proveBackup(box, name, report, signal)
    return { ...describeBackup(backup), tookMs: performance.now() - began }
  },
  print: ({ vm, at, tookMs }) => `The backup of ${vm} of ${utc(at)} UTC came back, in ${seconds(tookMs)}.\n`,
})
