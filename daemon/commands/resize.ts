import { z } from 'zod'
import { resizeVm } from '../box/change.ts'
import { CroftError } from '../error.ts'
import { mebibytes } from '../units.ts'
import { cpuArg, diskArg, memoryArg, vmArg } from './args.ts'
import { command } from './command.ts'
import { describeVm, vmResult } from './vm-result.ts'

export const resizeCommand = command({
  name: 'resize',
  summary: 'Change the limits of a VM',
  details: 'The disk grows at once, while the VM runs, and never shrinks. CPUs and memory change at its next start.',
  examples: ['croft resize web --disk 200G', 'croft resize web --cpu 4 --memory 8G'],
  args: z.object({ vm: vmArg, cpu: cpuArg.optional(), memory: memoryArg.optional(), disk: diskArg.optional() }),
  positional: ['vm'],
  result: vmResult.extend({ atNextStart: z.boolean() }),
  touches: 'changes',
  async run({ box }, { vm: name, cpu, memory, disk }) {
    const change = {
      ...(cpu !== undefined && { cpus: cpu }),
      ...(memory !== undefined && { memoryMiB: memory }),
      ...(disk !== undefined && { diskGiB: disk }),
    }
    if (Object.keys(change).length === 0) {
      throw new CroftError('misuse', 'Nothing to change.', { hint: 'Say what: --cpu, --memory, --disk.' })
    }
    const { vm, atNextStart } = await resizeVm(box, name, change)
    return { ...describeVm(box, vm), atNextStart }
  },
  print: (vm) =>
    `${vm.name} has ${vm.cpus} CPUs, ${mebibytes(vm.memoryMiB)} memory, ${vm.diskGiB} GiB disk.\n` +
    (vm.atNextStart ? `CPUs and memory change at its next start: croft restart ${vm.name}\n` : ''),
  names: (vm) => [vm.name],
})
