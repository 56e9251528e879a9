import { z } from 'zod'
import { type Box, layerOf, vmsOf } from '../../core/box.ts'
import { imageFileNames } from '../../core/image/file-names.ts'
import { ago, bytes } from '../../lib/text/units.ts'
import type { Image } from '../../store/index.ts'
import { command } from '../kit/command.ts'
import { table } from '../kit/text.ts'

export const imageResult = z.object({
  name: z.string(),
  id: z.string(),
  version: z.string(),
  /** False for an older build that only existing VMs need. */
  current: z.boolean(),
  user: z.string(),
  ports: z.array(z.int()),
  sizeBytes: z.number(),
  /** VMs made from it; spares are not counted. */
  vms: z.int(),
  /** Whether `new` uses it by default. */
  default: z.boolean(),
  /** Limits of a new VM made from it without options. */
  gives: z.object({ cpus: z.int(), memoryMiB: z.int(), diskGiB: z.int() }),
  createdAt: z.string(),
})

export type ImageResult = z.infer<typeof imageResult>

export async function describeImage(box: Box, image: Image): Promise<ImageResult> {
  const { name, id, version, current, user, ports, createdAt } = image
  const parts = [layerOf(box.store.state, image.layer).file, imageFileNames(id).folder]
  const { image: byDefault, cpus, memoryMiB } = box.settings.defaults
  return {
    name,
    id,
    version,
    current,
    user,
    ports,
    createdAt,
    vms: countVms(box, id),
    default: current && name === byDefault,
    gives: { cpus, memoryMiB, diskGiB: image.diskGiB },
    sizeBytes: (await Promise.all(parts.map((path) => box.files.usage(path)))).reduce((sum, size) => sum + size, 0),
  }
}

/** Counts the VMs made from an image, without Croft's own. */
export const countVms = (box: Box, image: string): number =>
  vmsOf(box.store.state).filter((vm) => vm.image === image).length

export const imageLsCommand = command({
  name: 'image ls',
  summary: 'List the images',
  examples: ['croft image ls'],
  args: z.object({}),
  result: z.object({ images: z.array(imageResult), recipes: z.array(z.string()) }),
  touches: 'reads',
  async run({ box }) {
    const images = await Promise.all(Object.values(box.store.state.images).map((image) => describeImage(box, image)))
    return { images, recipes: await box.imageFiles.recipes() }
  },
  print({ images, recipes }, view) {
    if (images.length === 0) return `No images. Build one: ${view.croft} image build ${recipes[0] ?? 'debian'}\n`
    return table(
      images,
      [
        {
          title: 'NAME',
          value: (image) => (image.current ? image.name : `${image.name} (older)`),
          dress: () => 'bold',
        },
        { title: 'VERSION', value: (image) => image.version },
        { title: 'SIZE', value: (image) => bytes(image.sizeBytes), right: true },
        { title: 'VMS', value: (image) => String(image.vms), right: true },
        { title: 'BUILT', value: (image) => ago(image.createdAt, view.now) },
      ],
      view,
    )
  },
  names: ({ images }) => images.filter((image) => image.current).map((image) => image.name),
})
