import { z } from 'zod'
import { findVm } from '../../core/box.ts'
import { forkFrom } from '../../core/checkpoint/fork.ts'
import { restoreVm } from '../../core/checkpoint/restore.ts'
import { checkNewName } from '../../core/vm/record.ts'
import { seconds } from '../../lib/text/units.ts'
import { labelArg, newNameArg, vmArg } from '../kit/args.ts'
import { command } from '../kit/command.ts'
import { describeMade, hadToBoot, madeResult, printMade } from '../results/made.ts'

export const restoreCommand = command({
  name: 'restore',
  summary: 'Go back to a checkpoint, or make a new VM from it',
  details:
    "Disk and memory go back to the checkpoint. The VM's current state is saved as a checkpoint first, so you can undo this the same way. With --as, the VM stays as it is and a new VM is made.",
  examples: ['croft restore web before-upgrade', 'croft restore web c1 --as web-old'],
  args: z.object({
    vm: vmArg,
    label: labelArg.describe('Label of the checkpoint'),
    as: newNameArg.optional().describe('Make a new VM with this name instead').meta({ placeholder: 'name' }),
  }),
  positional: ['vm', 'label'],
  result: madeResult.extend({ label: z.string(), before: z.string().nullable() }),
  touches: 'changes',
  async run({ box, report, reached }, { vm: name, label, as }) {
    const began = performance.now()
    const source = findVm(box.store.state, name)
    if (as !== undefined) {
      checkNewName(box.store.state, as, 'as')
      const { vm, cold } = await forkFrom(box, source.id, label, as, report)
      return { ...describeMade({ box, reached }, vm, cold, began), label, before: null }
    }
    const { before, cold } = await restoreVm(box, source.id, label, report)
    return { ...describeMade({ box, reached }, source, cold, began), label, before: before.label }
  },
  print(vm, view) {
    if (vm.before === null) return printMade(vm, view)
    return `${vm.name} is back at ${vm.label}, in ${seconds(vm.tookMs)}.\n${hadToBoot(vm.cold)}  undo   ${view.croft} restore ${vm.name} ${vm.before}\n`
  },
  names: (vm) => [vm.name],
})
