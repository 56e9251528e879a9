import { z } from 'zod'
import { findVm } from '../../core/box.ts'
import { copyVm } from '../../core/checkpoint/fork.ts'
import { CroftError } from '../../lib/error.ts'
import { quote } from '../../lib/text/command-line.ts'
import { newNameArg, vmArg } from '../kit/args.ts'
import { command } from '../kit/command.ts'
import { describeMade, madeResult, printMade } from '../results/made.ts'

/** The error for arguments as in scp or docker cp, which copy files: `web:/etc/hostname .` */
function notFiles(source: string, target = ''): CroftError {
  const into = /^([^:/]+):(.*)$/.exec(target)
  const outOf = /^([^:/]+):(.*)$/.exec(source)
  const written = (...words: string[]) => `croft ${words.filter(Boolean).map(quote).join(' ')}`
  const instead = into
    ? written('push', into[1]!, source, into[2]!)
    : outOf
      ? written('pull', outOf[1]!, outOf[2]!, target)
      : 'croft push, croft pull'
  return new CroftError('misuse', 'croft cp copies VMs, not files.', { hint: `For files: ${instead}` })
}

export const cpCommand = command({
  name: 'cp',
  summary: 'Copy a VM, with everything that runs in it',
  details:
    'The copy continues from the same instant, with the same processes, open files and tmux sessions, under its own name, address and keys. Its open connections to the outside are closed. The source pauses for a moment. A copy of a sleeping VM is asleep; a copy of a stopped one is stopped.',
  examples: ['croft cp web', 'croft cp web web-try', 'croft cp web web-clean --disk-only'],
  args: z.object({
    vm: vmArg,
    name: newNameArg.optional().describe('Name of the copy').meta({ placeholder: 'name' }),
    diskOnly: z.boolean().optional().describe('Copy only the disk: the copy boots from the disk as it is now'),
  }),
  positional: ['vm', 'name'],
  result: madeResult,
  touches: 'changes',
  revocable: true,
  async run({ box, report, reached, revoked }, { vm: source, name, diskOnly }) {
    if (/[:/]/.test(source + name)) throw notFiles(source, name)
    const began = performance.now()
    const { id } = findVm(box.store.state, source)
    const { vm, cold } = await box.usage.during(id, 'croft cp', () =>
      copyVm(box, id, { name, diskOnly }, report, revoked),
    )
    return describeMade({ box, reached }, vm, cold, began)
  },
  print: printMade,
  names: (vm) => [vm.name],
})
