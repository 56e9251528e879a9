import { z } from 'zod'
import { startVm } from '../../core/vm/power.ts'
import { vmArg } from '../kit/args.ts'
import { command } from '../kit/command.ts'
import { lostMemory } from '../results/made.ts'
import { toVmResult, vmResult } from '../results/vm.ts'

export const startCommand = command({
  name: 'start',
  summary: 'Start a VM and wait until it is ready',
  examples: ['croft start web'],
  args: z.object({ vm: vmArg }),
  positional: ['vm'],
  result: vmResult.extend({ cold: z.string().nullable() }),
  touches: 'changes',
  async run({ box, report }, { vm: name }) {
    const { vm, cold } = await startVm(box, name, report)
    return { ...toVmResult(box, vm), cold: cold ?? null }
  },
  print: (vm) => `${vm.name} is ${vm.state}.\n${lostMemory(vm.cold)}`,
  names: (vm) => [vm.name],
})
