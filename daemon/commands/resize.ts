import { z } from 'zod'
import { describeVm as describe, resizeVm } from '../box/change.ts'
import { CroftError } from '../error.ts'
import { mebibytes } from '../units.ts'
import { cpuArg, diskArg, memoryArg, priorityArg, vmArg } from './args.ts'
import { command } from './command.ts'
import { describeVm, vmResult } from './vm-result.ts'

export const resizeCommand = command({
  name: 'resize',
  summary: 'Change the limits of a VM',
  details:
    'The disk grows at once, while the VM runs, and never shrinks; the priority changes at once, too. CPUs and memory change at its next start.',
  examples: ['croft resize web --disk 200G', 'croft resize web --cpu 4 --memory 8G', 'croft resize ci --priority low'],
  args: z.object({
    vm: vmArg,
    cpu: cpuArg.optional(),
    memory: memoryArg.optional(),
    disk: diskArg.optional(),
    priority: priorityArg.optional(),
  }),
  positional: ['vm'],
  result: vmResult.extend({ atNextStart: z.boolean() }),
  touches: 'changes',
  async run({ box }, { vm: name, cpu, memory, disk, priority }) {
    const change = {
      ...(cpu !== undefined && { cpus: cpu }),
      ...(memory !== undefined && { memoryMiB: memory }),
      ...(disk !== undefined && { diskGiB: disk }),
    }
    if (Object.keys(change).length === 0 && priority === undefined) {
      throw new CroftError('misuse', 'Nothing to change.', { hint: 'Say what: --cpu, --memory, --disk, --priority.' })
    }
    const { vm: resized, atNextStart } = await resizeVm(box, name, change)
    const vm = priority === undefined ? resized : await describe(box, resized.id, () => ({ priority }))
    return { ...describeVm(box, vm), atNextStart }
  },
  print: (vm) =>
    `${vm.name} has ${vm.cpus} CPUs, ${mebibytes(vm.memoryMiB)} memory, ${vm.diskGiB} GiB disk, ${vm.priority} priority.\n` +
    (vm.atNextStart ? `CPUs and memory change at its next start: croft restart ${vm.name}\n` : ''),
  names: (vm) => [vm.name],
})
