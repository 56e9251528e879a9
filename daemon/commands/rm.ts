import { z } from 'zod'
import { findVm, layerOf } from '../box/box.ts'
import { removeVm } from '../box/create.ts'
import { bytes } from '../units.ts'
import { vmArg } from './args.ts'
import { command } from './command.ts'

export const rmCommand = command({
  name: 'rm',
  summary: 'Delete a VM and its disk',
  examples: ['croft rm old-idea', 'croft rm old-idea --yes'],
  args: z.object({ vm: vmArg }),
  positional: ['vm'],
  result: z.object({ name: z.string(), id: z.string() }),
  touches: 'destroys',
  async confirm(box, { vm: name }) {
    const vm = findVm(box.store.state, name)
    const size = await box.files.usage(layerOf(box.store.state, vm.disk).file)
    return `${vm.name} has ${bytes(size)} on disk. All of it goes. Delete ${vm.name}?`
  },
  async run({ box }, { vm }) {
    const { id, name } = findVm(box.store.state, vm)
    await removeVm(box, id)
    return { name, id }
  },
  print: ({ name }) => `${name} is deleted.\n`,
  names: ({ name }) => [name],
})
