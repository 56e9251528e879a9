import { type Box, findImage } from '../box.ts'
import { collectGarbage } from '../layer/garbage.ts'

/** Removes an image from the list. Its files are removed now, or with the last VM made from it. */
export async function removeImage(box: Box, name: string): Promise<void> {
  const image = findImage(box.store.state, name)
  await box.locks.run(`image ${name}`, async () => {
    await box.store.update((state) => ({
      ...state,
      images: { ...state.images, [image.id]: { ...image, current: false } },
    }))
    box.events.publish({ type: 'image.removed', image: name })
    await collectGarbage(box)
  })
}
