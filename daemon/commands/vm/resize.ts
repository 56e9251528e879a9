import { z } from 'zod'
import { findVm } from '../../core/box.ts'
import { editVm } from '../../core/vm/edit.ts'
import { checkRates, shareVm } from '../../core/vm/qos.ts'
import { resizeVm } from '../../core/vm/resize.ts'
import { CroftError } from '../../lib/error.ts'
import { mebibytes } from '../../lib/text/units.ts'
import { cpuArg, diskArg, memoryArg, priorityArg, rateArgs, ratesFrom, restartArg, vmArg } from '../kit/args.ts'
import { command } from '../kit/command.ts'
import { rates } from '../results/rates.ts'
import { toVmResult, vmResult } from '../results/vm.ts'

export const resizeCommand = command({
  name: 'resize',
  summary: "Change a VM's limits, priority and restart policy",
  details:
    'The disk grows immediately, even while the VM runs, and never shrinks. Priority, and limits on CPU time, disk and network, also change immediately. The number of CPUs and the memory change at the next start.',
  examples: [
    'croft resize web --disk 200G',
    'croft resize web --cpu 4 --memory 8G',
    'croft resize ci --priority low',
    'croft resize web --restart on-crash',
    'croft resize ci --cpu-limit 150% --disk-limit 50M --net-limit none',
  ],
  args: z.object({
    vm: vmArg,
    cpu: cpuArg.optional(),
    memory: memoryArg.optional(),
    disk: diskArg.optional(),
    priority: priorityArg.optional(),
    restart: restartArg.optional(),
    ...rateArgs,
  }),
  positional: ['vm'],
  result: vmResult.extend({ atNextStart: z.boolean() }),
  touches: 'changes',
  async run({ box }, { vm: name, cpu, memory, disk, priority, restart, ...args }) {
    const limits = {
      ...(cpu !== undefined && { cpus: cpu }),
      ...(memory !== undefined && { memoryMiB: memory }),
      ...(disk !== undefined && { diskGiB: disk }),
    }
    const share = { ...(priority !== undefined && { priority }), rates: ratesFrom(args) }
    const resizes = Object.keys(limits).length > 0
    const shares = priority !== undefined || Object.keys(share.rates).length > 0
    if (!resizes && !shares && restart === undefined) {
      throw new CroftError('misuse', 'Nothing to change.', {
        hint: 'Give at least one of: --cpu, --memory, --disk, --priority, --restart, --cpu-limit, --disk-limit, --net-limit.',
      })
    }
    checkRates(box, share.rates)
    const { id } = findVm(box.store.state, name)
    const atNextStart = resizes ? (await resizeVm(box, id, limits)).atNextStart : false
    if (shares) await shareVm(box, id, share)
    if (restart !== undefined) await editVm(box, id, () => ({ restart }))
    return { ...toVmResult(box, findVm(box.store.state, id)), atNextStart }
  },
  print: (vm, { croft }) =>
    `${vm.name} has ${vm.cpus} CPUs, ${mebibytes(vm.memoryMiB)} memory, ${vm.diskGiB} GiB disk, ${vm.priority} priority.\n` +
    (rates(vm).length > 0 ? `It gets at most ${rates(vm).join(', ')}.\n` : '') +
    (vm.restart === 'on-crash' ? 'It restarts when it crashes.\n' : '') +
    (vm.atNextStart ? `CPUs and memory change at its next start: ${croft} restart ${vm.name}\n` : ''),
  names: (vm) => [vm.name],
})
