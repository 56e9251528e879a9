import { CroftError } from '../../lib/error.ts'
import type { Image, Layer, State } from '../../store/index.ts'
import { type Box, type Report, without } from '../box.ts'
import type { BuiltImage } from '../interfaces/images.ts'
import { collectGarbage } from '../layer/garbage.ts'
import type { OperationDefinition, OperationOf } from '../operation/definition.ts'
import { execute } from '../operation/engine.ts'
import { exclusively } from '../operation/exclusively.ts'
import { makeId } from '../vm/identity.ts'
import { closest } from '../vm/name.ts'
import { imageFileNames } from './file-names.ts'
import { ensureGolden } from './golden.ts'

/** Builds an image from its recipe; the old build keeps the name until the new one is complete. @throws CroftError */
export async function buildImage(box: Box, recipe: string, report: Report, signal?: AbortSignal): Promise<Image> {
  const recipes = await box.imageFiles.recipes()
  if (!recipes.includes(recipe)) {
    const meant = closest(recipe, recipes)
    throw new CroftError('not-found', `No recipe called ${JSON.stringify(recipe.slice(0, 60))}.`, {
      hint: meant ? `Did you mean ${meant}?` : `The recipes are: ${recipes.join(', ')}`,
    })
  }
  if (box.locks.isLocked(`image ${recipe}`)) {
    throw new CroftError('conflict', `${recipe} is already being built.`, {
      hint: 'croft image ls shows when it is done.',
    })
  }
  return exclusively(box, `image ${recipe}`, async () => {
    const id = makeId('img')
    const operation = {
      id: makeId('op'),
      kind: 'image-build',
      startedAt: new Date().toISOString(),
      image: id,
      name: recipe,
    } as const
    await execute(box, imageBuildOperation, operation, (state) => state, report, signal)
    box.events.publish({ type: 'image.new', image: recipe })
    await collectGarbage(box)
    const image = box.store.state.images[id]!
    await bootOnce(box, image, report)
    return image
  })
}

/** Makes the golden checkpoint. The build has succeeded even if this fails: without the checkpoint, VMs boot cold. */
async function bootOnce(box: Box, image: Image, report: Report): Promise<void> {
  if (!box.settings.golden) return
  await ensureGolden(box, image, box.settings.defaults, (progress) =>
    report({ subject: image.name, step: `booting it once: ${progress.step}`, fraction: 0.99 }),
  ).catch((err) => {
    box.log.error({ image: image.id, err }, 'could not make a golden checkpoint')
    const message = `${image.name} could not be booted for its golden checkpoint: ${err.message}`
    box.events.publish({ type: 'box.warning', message })
  })
}

/** `image build`: the name moves from the old build to the new one in the last, single store write. */
export const imageBuildOperation: OperationDefinition<OperationOf<'image-build'>> = {
  recovery: 'undo',
  steps: [
    {
      name: 'recipe',
      run(box, { image, name }, report, signal) {
        const say = (step: string, fraction: number) => report({ subject: name, step, fraction })
        say('running its recipe', 0)
        return box.imageFiles.build(name, image, say, signal)
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
  commit: (state, { image: id, name }) => ({
    ...state,
    images: Object.fromEntries(
      Object.entries(state.images).map(([key, image]) => [
        key,
        key === id ? { ...image, current: true } : image.name === name ? { ...image, current: false } : image,
      ]),
    ),
  }),
  rollback: withoutImage,
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
