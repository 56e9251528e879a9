import { z } from 'zod'
import { findVm } from '../box/box.ts'
import { ago, mebibytes } from '../units.ts'
import { vmArg } from './args.ts'
import { command, type View } from './command.ts'
import { rates } from './rates.ts'
import { facts, style } from './text.ts'
import { describeVm, sessions, sharing, type VmResult, vmResult } from './vm-result.ts'

export const showCommand = command({
  name: 'show',
  summary: 'Show what there is to know about a VM',
  examples: ['croft show web', 'croft show web --json'],
  args: z.object({ vm: vmArg }),
  positional: ['vm'],
  result: vmResult,
  touches: 'reads',
  run: async ({ box }, { vm }) => describeVm(box, findVm(box.store.state, vm)),
  print: showVm,
  names: (vm) => [vm.name],
})

export function showVm(vm: VmResult, view: View): string {
  return `${style(view, 'bold', vm.name)}   ${vm.state}\n${facts(
    [
      ['comment', vm.comment],
      ['tags', vm.tags.join(', ')],
      ['image', vm.image],
      ['web', vm.web ? `${vm.web}   ${sharing(vm)}` : ''],
      ['ssh', vm.ssh ? `${vm.ssh}${sessions(vm)}` : ''],
      ['address', vm.address],
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
