import { z } from 'zod'
import { putToSleep } from '../box/sleep.ts'
import { vmArg } from './args.ts'
import { command } from './command.ts'
import { describeVm, vmResult } from './vm-result.ts'

export const sleepCommand = command({
  name: 'sleep',
  summary: 'Put a VM to sleep: its memory goes to disk, and it uses nothing',
  details: 'It wakes when somebody enters it, with everything in it as it was.',
  examples: ['croft sleep web'],
  args: z.object({ vm: vmArg }),
  positional: ['vm'],
  result: vmResult,
  touches: 'changes',
  async run({ box, report }, { vm }) {
    return describeVm(box, await putToSleep(box, vm, report))
  },
  print: (vm) => `${vm.name} is asleep.\n`,
  names: (vm) => [vm.name],
})
