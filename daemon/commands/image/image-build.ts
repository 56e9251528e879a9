import { z } from 'zod'
import { buildImage } from '../../core/image/build.ts'
import { bytes, seconds } from '../../lib/text/units.ts'
import { command } from '../kit/command.ts'
import { describeImage, imageResult } from './image-ls.ts'

export const imageBuildCommand = command({
  name: 'image build',
  summary: 'Build an image from its recipe',
  details: 'New VMs use the old build until the new one is complete; VMs made from the old one keep it.',
  examples: ['croft image build debian'],
  args: z.object({
    recipe: z.string().min(1).max(64).default('debian').describe('Name of the recipe').meta({ placeholder: 'recipe' }),
  }),
  positional: ['recipe'],
  result: imageResult.extend({ tookMs: z.number() }),
  touches: 'changes',
  revocable: true,
  async run({ box, report, revoked }, { recipe }) {
    const began = performance.now()
    const image = await buildImage(box, recipe, report, revoked)
    return { ...(await describeImage(box, image)), tookMs: performance.now() - began }
  },
  print: (image) => `${image.name} is built, in ${seconds(image.tookMs)}: ${bytes(image.sizeBytes)}.\n`,
  names: (image) => [image.name],
})
