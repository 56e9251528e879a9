import { z } from 'zod'
import { findVm } from '../box/box.ts'
import { ago, bytes, mebibytes } from '../units.ts'
import { vmArg } from './args.ts'
import { command, type View } from './command.ts'
import { rates } from './rates.ts'
import { facts, style } from './text.ts'
import {
  describeVm,
  noUsage,
  sessions,
  sharing,
  type UsageResult,
  usageResult,
  type VmResult,
  vmResult,
} from './vm-result.ts'

export const showCommand = command({
  name: 'show',
  summary: 'Show what there is to know about a VM',
  examples: ['croft show web', 'croft show web --json'],
  args: z.object({ vm: vmArg }),
  positional: ['vm'],
  result: vmResult.extend(usageResult.shape),
  touches: 'reads',
  async run({ box, host, reached }, { vm: name }) {
    const vm = findVm(box.store.state, name)
    const usage = await host.vmUsage()
    return { ...describeVm(box, vm, reached), ...(usage.get(vm.id) ?? noUsage) }
  },
  print: showVm,
  names: (vm) => [vm.name],
})

function showVm(vm: VmResult & UsageResult, view: View): string {
  return `${style(view, 'bold', vm.name)}   ${vm.state}\n${facts(
    [
      ['comment', vm.comment],
      ['tags', vm.tags.join(', ')],
      ['image', vm.image],
      ['web', vm.web ? `${vm.web}   ${sharing(vm)}` : ''],
      ['ssh', vm.ssh ? `${vm.ssh}${sessions(vm)}` : ''],
      ['address', vm.address],
      ['uses', uses(vm)],
      ['limits', `${vm.cpus} CPUs, ${mebibytes(vm.memoryMiB)} memory, ${vm.diskGiB} GiB disk`],
      ['at most', rates(vm).join(', ')],
      ['priority', vm.priority === 'normal' ? '' : vm.priority],
      [
        'env',
        Object.entries(vm.env)
          .map(([key, value]) => `${key}=${value}`)
          .join('  '),
      ],
      ['made', ago(vm.createdAt, view.now)],
      ['id', vm.id],
    ],
    view,
  )}`
}

/** What it takes of the box now, as far as it takes anything. */
const uses = ({ cpuPercent, memoryBytes, diskBytes }: UsageResult): string =>
  [
    cpuPercent === null ? [] : `${Math.round(cpuPercent)} % of a CPU`,
    memoryBytes === null ? [] : `${bytes(memoryBytes)} memory`,
    diskBytes === null ? [] : `${bytes(diskBytes)} disk`,
  ]
    .flat()
    .join(', ')
