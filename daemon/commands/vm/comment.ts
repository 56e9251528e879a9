import { z } from 'zod'
import { editVm } from '../../core/vm/edit.ts'
import { commentArg, vmArg } from '../kit/args.ts'
import { command } from '../kit/command.ts'
import { toVmResult, vmResult } from '../results/vm.ts'

export const commentCommand = command({
  name: 'comment',
  summary: 'Note what a VM is for',
  examples: ['croft comment web "the shop, before the rewrite"', 'croft comment web ""'],
  args: z.object({
    vm: vmArg,
    text: commentArg.describe('The comment; empty to remove it').meta({ placeholder: 'text' }),
  }),
  positional: ['vm', 'text'],
  result: vmResult,
  touches: 'changes',
  run: async ({ box }, { vm, text }) => toVmResult(box, await editVm(box, vm, () => ({ comment: text }))),
  print: (vm) => `${vm.name}: ${vm.comment || 'no comment'}\n`,
  names: (vm) => [vm.name],
})
