import { z } from 'zod'
import { renameVm } from '../../core/vm/rename.ts'
import { newNameArg, vmArg } from '../kit/args.ts'
import { command } from '../kit/command.ts'
import { toVmResult, vmResult } from '../results/vm.ts'

export const renameCommand = command({
  name: 'rename',
  summary: 'Rename a VM',
  examples: ['croft rename quiet-otter web'],
  args: z.object({ vm: vmArg, to: newNameArg.describe('Its new name').meta({ placeholder: 'new name' }) }),
  positional: ['vm', 'to'],
  result: vmResult,
  touches: 'changes',
  run: async ({ box }, { vm, to }) => toVmResult(box, await renameVm(box, vm, to)),
  print: (vm) => `It is now called ${vm.name}.\n`,
  names: (vm) => [vm.name],
})
