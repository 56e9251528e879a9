import { z } from 'zod'
import { findVm } from '../../core/box.ts'
import { stopVm } from '../../core/vm/power.ts'
import { graceArg, vmArg } from '../kit/args.ts'
import { command } from '../kit/command.ts'
import { toVmResult, vmResult } from '../results/vm.ts'

export const stopCommand = command({
  name: 'stop',
  summary: 'Shut down a VM',
  details:
    'The guest is asked to shut down. If it has not done so after the grace period, its power is turned off. Its disk stays.',
  examples: ['croft stop web', 'croft stop web --grace 0'],
  args: z.object({ vm: vmArg, grace: graceArg }),
  positional: ['vm'],
  result: vmResult.extend({ how: z.enum(['shutdown', 'powered-off']) }),
  touches: 'changes',
  async run({ box, report }, { vm, grace }) {
    const { id } = findVm(box.store.state, vm)
    const how = await stopVm(box, id, grace * 1000, report)
    return { ...toVmResult(box, findVm(box.store.state, id)), how }
  },
  print: (vm) =>
    vm.how === 'shutdown'
      ? `${vm.name} is stopped.\n`
      : `${vm.name} did not shut down in time; its power was turned off.\n`,
  names: (vm) => [vm.name],
})
