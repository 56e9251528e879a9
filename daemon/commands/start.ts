import { z } from 'zod'
import { startVm } from '../box/power.ts'
import { vmArg } from './args.ts'
import { command } from './command.ts'
import { describeVm, vmResult } from './vm-result.ts'

export const startCommand = command({
  name: 'start',
  summary: 'Start a VM and wait until it can be used',
  examples: ['croft start web'],
  args: z.object({ vm: vmArg }),
  positional: ['vm'],
  result: vmResult,
  touches: 'changes',
  run: async ({ box, report }, { vm }) => describeVm(box, await startVm(box, vm, report)),
  print: (vm) => `${vm.name} is ${vm.state}.\n`,
  names: (vm) => [vm.name],
})
