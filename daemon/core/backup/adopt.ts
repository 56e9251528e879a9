import type { Checkpoint, Image, Layer, State } from '../../store/index.ts'
import type { Box } from '../box.ts'
import { imageFileNames } from '../image/file-names.ts'
import { fixedLayers } from '../layer/compaction-plan.ts'
import type { OperationDefinition, OperationOf } from '../operation/definition.ts'
import { execute } from '../operation/engine.ts'
import { makeId } from '../vm/identity.ts'
import type { Manifest } from './manifest.ts'

/** Which of a manifest's files this box lacks, and the records that they will have here. */
export interface Adoption {
  /** The layer that it has all data of the backup's disk in. */
  top: string
  /** The files to get, from the lowest layer up: the path in the backup, and the record. */
  places: { from: string; layer: Layer }[]
  image: { record: Image; kernel: string; initrd: string } | null
}

/**
 * Plans what to get of a backup. A layer that this box still has, and that no merge has touched, is not read again; the
 * others get new ids, because a file of the old name may be in use for another layer. Pure.
 * @param reuse false to read all of it: it is of another box, where ids mean something else, or it is to be tried
 */
export function planAdoption(state: State, { image, layers }: Manifest, reuse: boolean, now: string): Adoption {
  const fixed = fixedLayers(state)
  const found = reuse ? layers.findLastIndex(({ id }) => id in state.layers && fixed.has(id)) : -1
  const known = reuse && image.id in state.images
  const imageId = known ? image.id : makeId('img')
  const names = imageFileNames(imageId)
  let parent = layers[found]?.id ?? null
  const places: Adoption['places'] = []
  for (const { file } of layers.slice(found + 1)) {
    const isRoot = parent === null
    const id = isRoot ? names.layer : makeId('lay')
    places.push({ from: file, layer: { id, file: isRoot ? names.root : `layers/${id}.qcow2`, parent, createdAt: now } })
    parent = id
  }
  const root = places[0]?.layer.parent === null ? places[0].layer.id : layers[0]!.id
  const { kernel, initrd } = names
  const record: Image = { ...image, id: imageId, current: false, layer: root, kernel, initrd }
  return { top: parent!, places, image: known ? null : { record, kernel: image.kernel, initrd: image.initrd } }
}

/**
 * Makes a checkpoint of layers that were put into a folder, under their paths in the backup. Unless it belongs to a VM,
 * it is kept for as long as the caller holds it (see `holds.ts`).
 */
export async function adopt(
  box: Box,
  staged: string,
  { places, image }: Adoption,
  checkpoint: Checkpoint,
): Promise<void> {
  const operation = {
    id: makeId('op'),
    kind: 'adopt',
    startedAt: checkpoint.createdAt,
    staged,
    places,
    image,
    checkpoint,
  } as const
  await box.locks.run(checkpoint.id, () => execute(box, adoptOperation, operation, (state) => state))
}

/** `adopt`: the files are moved to their places, and their records follow in one write. */
export const adoptOperation: OperationDefinition<OperationOf<'adopt'>> = {
  recovery: 'undo',
  steps: [
    {
      name: 'place',
      async run(box, { staged, places, image }) {
        const place = async (from: string, to: string, backing?: string | null) => {
          if (await box.files.exists(`${staged}/${from}`)) await box.files.adopt(`${staged}/${from}`, to, backing)
        }
        if (image) {
          await place(image.kernel, image.record.kernel)
          await place(image.initrd, image.record.initrd)
        }
        const placed = new Map(places.map(({ layer }) => [layer.id, layer]))
        for (const { from, layer } of places) {
          const fileOf = (id: string) => placed.get(id)?.file ?? box.store.state.layers[id]!.file
          await place(from, layer.file, layer.parent === null ? null : fileOf(layer.parent))
        }
        await box.files.remove(staged)
      },
      async undo(box, { staged, places, image }) {
        for (const { layer } of places) await box.files.remove(layer.file)
        if (image) await box.files.remove(imageFileNames(image.record.id).folder)
        await box.files.remove(staged)
      },
    },
  ],
  commit: (state, { places, image, checkpoint }) => ({
    ...state,
    layers: { ...state.layers, ...Object.fromEntries(places.map(({ layer }) => [layer.id, layer])) },
    images: image ? { ...state.images, [image.record.id]: image.record } : state.images,
    checkpoints: { ...state.checkpoints, [checkpoint.id]: checkpoint },
  }),
}
