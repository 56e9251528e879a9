import type { Image, Layer, State } from '../../store/index.ts'
import { without } from '../box.ts'
import type { BuiltImage } from '../interfaces/ports.ts'
import type { OperationOf, Plan } from '../operation/plan.ts'

/** Where the files of an image lie, relative to the state folder. Its layer's id is its own under another prefix. */
export function imageFileNames(imageId: string) {
  const layer = imageId.replace('img_', 'lay_')
  return {
    layer,
    root: `layers/${layer}.qcow2`,
    folder: `images/${imageId}`,
    kernel: `images/${imageId}/vmlinuz`,
    initrd: `images/${imageId}/initrd`,
  }
}

/** `image build`: the name changes over to the new build in the last, single store write; until then the old one has it. */
export const imageBuildPlan: Plan<OperationOf<'image-build'>> = {
  recovery: 'undo',
  steps: [
    {
      name: 'recipe',
      run(box, { id, image, name }, report) {
        const say = (step: string, fraction: number) => report({ subject: name, step, fraction })
        say('running its recipe', 0)
        return box.imageFiles.build(name, image, say, box.wanted.get(id))
      },
      undo: (box, { image }) => box.imageFiles.discard(image),
    },
    {
      name: 'place',
      async run(box, { image, name }) {
        const built = await box.imageFiles.place(image)
        await box.store.update((state) => withImage(state, image, name, built))
      },
    },
  ],
  end: (state, { image: id, name }) => ({
    ...state,
    images: Object.fromEntries(
      Object.entries(state.images).map(([key, image]) => [
        key,
        key === id ? { ...image, current: true } : image.name === name ? { ...image, current: false } : image,
      ]),
    ),
  }),
  undone: withoutImage,
}

function withImage(state: State, id: string, name: string, built: BuiltImage): State {
  const files = imageFileNames(id)
  const createdAt = new Date().toISOString()
  const layer: Layer = { id: files.layer, file: files.root, parent: null, createdAt }
  const image: Image = {
    id,
    name,
    current: false,
    layer: layer.id,
    kernel: files.kernel,
    initrd: files.initrd,
    createdAt,
    ...built,
  }
  return { ...state, layers: { ...state.layers, [layer.id]: layer }, images: { ...state.images, [id]: image } }
}

function withoutImage(state: State, { image }: { image: string }): State {
  return {
    ...state,
    images: without(state.images, image),
    layers: without(state.layers, imageFileNames(image).layer),
  }
}
