import { z } from 'zod'
import { findVm } from '../../core/box.ts'
import { findCheckpoint } from '../../core/checkpoint/find.ts'
import { removeCheckpoint } from '../../core/checkpoint/remove.ts'
import { labelArg, vmArg } from '../kit/args.ts'
import { command } from '../kit/command.ts'

export const checkpointRmCommand = command({
  name: 'checkpoint rm',
  summary: 'Delete a checkpoint',
  details: 'The VM, its other checkpoints, and VMs made from this one are not affected.',
  examples: ['croft checkpoint rm web before-upgrade'],
  args: z.object({ vm: vmArg, label: labelArg.describe('Label of the checkpoint') }),
  positional: ['vm', 'label'],
  result: z.object({ vm: z.string(), label: z.string() }),
  touches: 'destroys',
  async confirm(box, { vm: name, label }) {
    const vm = findVm(box.store.state, name)
    const checkpoint = findCheckpoint(box.store.state, vm, label)
    return `This deletes the checkpoint ${checkpoint.label} of ${vm.name}. It can't be undone. Delete it?`
  },
  async run({ box }, { vm: name, label }) {
    const vm = findVm(box.store.state, name)
    return { vm: vm.name, label: (await removeCheckpoint(box, vm.id, label)).label }
  },
  print: ({ label }) => `${label} is deleted.\n`,
  names: ({ label }) => [label],
})
