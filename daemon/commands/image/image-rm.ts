import { z } from 'zod'
import { findImage } from '../../core/box.ts'
import { removeImage } from '../../core/image/remove.ts'
import { imageArg } from '../kit/args.ts'
import { command } from '../kit/command.ts'
import { countVms } from './image-ls.ts'

export const imageRmCommand = command({
  name: 'image rm',
  summary: 'Remove an image from the list',
  details: 'VMs made from it keep working; its files are deleted with the last of them.',
  examples: ['croft image rm debian'],
  args: z.object({ image: imageArg.describe('Name of the image') }),
  positional: ['image'],
  result: z.object({ name: z.string(), vms: z.int() }),
  touches: 'destroys',
  async confirm(box, { image }) {
    findImage(box.store.state, image)
    return `No new VM can be made from ${image} until it is built again. Remove ${image}?`
  },
  async run({ box }, { image: name }) {
    const { id } = findImage(box.store.state, name)
    const vms = countVms(box, id)
    await removeImage(box, name)
    return { name, vms }
  },
  print: ({ name, vms }) =>
    vms
      ? `${name} is off the list; ${vms} VM${vms === 1 ? ' still uses' : 's still use'} its files.\n`
      : `${name} is removed.\n`,
  names: ({ name }) => [name],
})
