import { CroftError } from '../../lib/error.ts'
import type { Image } from '../../store/index.ts'
import { type Box, findImage, type Report } from '../box.ts'
import { collect } from '../layer/garbage.ts'
import { carryOut } from '../operation/engine.ts'
import { exclusively } from '../operation/exclusively.ts'
import { makeId } from '../vm/identity.ts'
import { closest } from '../vm/name.ts'
import { ensureGolden } from './golden.ts'
import { imageBuildPlan } from './image-plans.ts'

/** Builds an image from its recipe; the old build keeps the name until the new one is whole. @throws CroftError */
export async function buildImage(box: Box, recipe: string, report: Report, wanted?: AbortSignal): Promise<Image> {
  const recipes = await box.imageFiles.recipes()
  if (!recipes.includes(recipe)) {
    const meant = closest(recipe, recipes)
    throw new CroftError('not-found', `There is no recipe called ${JSON.stringify(recipe.slice(0, 60))}.`, {
      hint: meant ? `Did you mean ${meant}?` : `There are: ${recipes.join(', ')}`,
    })
  }
  if (box.locks.busy(`image ${recipe}`)) {
    throw new CroftError('conflict', `${recipe} is being built already.`, {
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
    await carryOut(box, imageBuildPlan, operation, (state) => state, report, wanted)
    box.events.publish({ type: 'image.new', image: recipe })
    await collect(box)
    const image = box.store.state.images[id]!
    await bootOnce(box, image, report)
    return image
  })
}

/** The image is built, whatever becomes of this: without a golden checkpoint its VMs boot. */
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

/** Takes an image off the list. Its files go now, or with the last VM made from it. */
export async function removeImage(box: Box, name: string): Promise<void> {
  const image = findImage(box.store.state, name)
  await box.locks.run(`image ${name}`, async () => {
    await box.store.update((state) => ({
      ...state,
      images: { ...state.images, [image.id]: { ...image, current: false } },
    }))
    box.events.publish({ type: 'image.removed', image: name })
    await collect(box)
  })
}
