import { z } from 'zod'
import { restartVm } from '../../core/vm/power.ts'
import { graceArg, vmArg } from '../kit/args.ts'
import { command } from '../kit/command.ts'
import { toVmResult, vmResult } from '../results/vm.ts'

export const restartCommand = command({
  name: 'restart',
  summary: 'Restart a VM',
  details: 'New limits for CPUs and memory take effect.',
  examples: ['croft restart web'],
  args: z.object({ vm: vmArg, grace: graceArg }),
  positional: ['vm'],
  result: vmResult,
  touches: 'changes',
  run: async ({ box, report }, { vm, grace }) => toVmResult(box, await restartVm(box, vm, grace * 1000, report)),
  print: (vm) => `${vm.name} is ${vm.state}.\n`,
  names: (vm) => [vm.name],
})
