import { z } from 'zod'
import { wakeVm } from '../../core/sleep/wake.ts'
import { seconds } from '../../lib/text/units.ts'
import { vmArg } from '../kit/args.ts'
import { command } from '../kit/command.ts'
import { lostMemory } from '../results/made.ts'
import { toVmResult, vmResult } from '../results/vm.ts'

export const wakeCommand = command({
  name: 'wake',
  summary: 'Wake a sleeping VM',
  examples: ['croft wake web'],
  args: z.object({ vm: vmArg }),
  positional: ['vm'],
  result: vmResult.extend({ tookMs: z.number(), cold: z.string().nullable() }),
  touches: 'changes',
  async run({ box, report }, { vm }) {
    const began = performance.now()
    const { vm: awake, cold } = await wakeVm(box, vm, report)
    return { ...toVmResult(box, awake), tookMs: performance.now() - began, cold: cold ?? null }
  },
  print: (vm) => `${vm.name} is awake, in ${seconds(vm.tookMs)}.\n${lostMemory(vm.cold)}`,
  names: (vm) => [vm.name],
})
