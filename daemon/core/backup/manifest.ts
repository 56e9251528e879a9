import { z } from 'zod'
import { CroftError } from '../../lib/error.ts'
import { version } from '../../lib/version.ts'
import type { State, Vm } from '../../store/index.ts'
import { imageSchema } from '../../store/schema/image.ts'
import { layerSchema } from '../../store/schema/layer.ts'
import { vmSchema } from '../../store/schema/vm.ts'
import { chainOf } from '../layer/compaction-plan.ts'

/** The path of a backup's manifest, relative to the state folder. */
export const manifestPath = 'backup/vm.json'

/** What a VM is, without what belongs to this box. */
const describedVmSchema = vmSchema.pick({
  name: true,
  limits: true,
  env: true,
  tags: true,
  comment: true,
  createdAt: true,
  sleepAfter: true,
  keepsAppointments: true,
  restart: true,
  priority: true,
  rates: true,
  schedule: true,
  web: true,
})

/**
 * `vm.json`: what a backup of a VM is, readable by people and by later versions of Croft. A field that a version adds must
 * be optional.
 */
const manifestSchema = z.object({
  format: z.literal('croft-vm'),
  version: z.literal(1),
  /** The version of Croft that wrote it. */
  croft: z.string(),
  takenAt: z.iso.datetime(),
  vm: describedVmSchema,
  image: imageSchema,
  /** The files of its disk, from the lowest up; each one's parent is the one before. */
  layers: z.array(layerSchema).min(1),
})

export type Manifest = z.infer<typeof manifestSchema>

/** Describes a VM and the layers of its disk as of one of them. Pure. */
export function manifestOf(state: State, vm: Vm, layer: string, takenAt: string): Manifest {
  const layers = chainOf(state, layer)
    .toReversed()
    .map((id) => state.layers[id]!)
  return {
    format: 'croft-vm',
    version: 1,
    croft: version,
    takenAt,
    vm: describedVmSchema.parse(vm),
    image: state.images[vm.image]!,
    layers,
  }
}

/** The paths of all files that a manifest names, relative to the state folder. Pure. */
export const filesOf = ({ image, layers }: Manifest): string[] => [
  image.kernel,
  image.initrd,
  ...layers.map(({ file }) => file),
]

/** Reads a manifest. @throws CroftError `bad-value`: it is damaged, or of a later version */
export function parseManifest(text: string): Manifest {
  try {
    const manifest = manifestSchema.parse(JSON.parse(text))
    const isChain = manifest.layers.every(({ parent }, i) => parent === (manifest.layers[i - 1]?.id ?? null))
    if (!isChain) throw new Error('its layers are not a chain')
    for (const path of filesOf(manifest)) if (!/^(images\/img_\w+|layers)\/[\w.]+$/.test(path)) throw new Error(path)
    return manifest
  } catch (cause) {
    throw new CroftError('bad-value', 'The description of that backup can’t be read.', {
      hint: 'Was it made by a newer Croft? Update this one, then try again.',
      cause,
    })
  }
}
