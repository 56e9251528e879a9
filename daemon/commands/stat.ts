import { z } from 'zod'
import { findVm } from '../box/box.ts'
import { bytes, mebibytes } from '../units.ts'
import { vmArg } from './args.ts'
import { command } from './command.ts'
import { facts, style } from './text.ts'
import { describeVm, usageResult, vmResult } from './vm-result.ts'

export const statCommand = command({
  name: 'stat',
  summary: 'Show what a VM uses now',
  examples: ['croft stat web'],
  args: z.object({ vm: vmArg }),
  positional: ['vm'],
  result: vmResult.extend(usageResult.shape).extend({ since: z.string().nullable() }),
  touches: 'reads',
  async run({ box, host }, { vm: name }) {
    const vm = findVm(box.store.state, name)
    const usage = (await host.vmUsage()).get(vm.id)
    return {
      ...describeVm(box, vm),
      cpuPercent: usage?.cpuPercent ?? null,
      memoryBytes: usage?.memoryBytes ?? null,
      diskBytes: usage?.diskBytes ?? null,
      since: box.live.get(vm.uuid)?.since.toISOString() ?? null,
    }
  },
  print: (vm, view) =>
    `${style(view, 'bold', vm.name)}   ${vm.state}\n${facts(
      [
        ['CPU', vm.cpuPercent === null ? undefined : `${vm.cpuPercent.toFixed(1)} % of one, of ${vm.cpus}`],
        [
          'memory',
          vm.memoryBytes === null ? undefined : `${bytes(vm.memoryBytes)} of ${mebibytes(vm.memoryMiB)} at most`,
        ],
        ['disk', vm.diskBytes === null ? undefined : `${bytes(vm.diskBytes)} of its own, of ${vm.diskGiB} GiB at most`],
      ],
      view,
    )}`,
  names: (vm) => [vm.name],
})
