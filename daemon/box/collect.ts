import type { Image, Layer, State } from '../store/index.ts'
import type { Box } from './box.ts'
import { fault } from './fault.ts'
import { imageFileNames } from './image-plans.ts'

/** Where a test may kill the daemon while it collects. */
export const collectFaultPoints = ['collect.records', 'collect.files'] as const

/**
 * Removes what nothing needs any more: layers and images. Their records go first, in one write; a file whose
 * record is gone is swept up at the latest by the next start.
 */
export async function collect(box: Box): Promise<void> {
  let gone = garbage(box.store.state)
  if (gone.layers.length + gone.images.length === 0) return
  fault('collect.records')
  await box.store.update((state) => {
    gone = garbage(state)
    const lost = new Set([...gone.layers, ...gone.images].map(({ id }) => id))
    const kept = <T>(records: Record<string, T>) =>
      Object.fromEntries(Object.entries(records).filter(([id]) => !lost.has(id)))
    return { ...state, layers: kept(state.layers), images: kept(state.images) }
  })
  fault('collect.files')
  for (const layer of gone.layers) await box.files.remove(layer.file)
  for (const image of gone.images) await box.files.remove(imageFileNames(image.id).folder)
}

/** What nothing needs: derived from the whole state each time, never counted beside it. Pure. */
export function garbage(state: State): { layers: Layer[]; images: Image[] } {
  const vms = Object.values(state.vms)
  const operations = namesIn(state.operations)
  const images = Object.values(state.images).filter(
    (image) => image.current || operations.has(image.id) || vms.some((vm) => vm.image === image.id),
  )
  const needed = new Set<string>()
  const need = (id: string | null) => {
    for (let at = id; at !== null && !needed.has(at); at = state.layers[at]?.parent ?? null) needed.add(at)
  }
  for (const image of images) need(image.layer)
  for (const vm of vms) need(vm.disk)
  for (const id of Object.keys(state.layers)) if (operations.has(id)) need(id)
  return {
    layers: Object.values(state.layers).filter((layer) => !needed.has(layer.id)),
    images: Object.values(state.images).filter((image) => !images.includes(image)),
  }
}

/** Every id that an open operation names: what it is about is not to be touched. */
function namesIn(operations: State['operations']): Set<string> {
  return new Set(JSON.stringify(operations).match(/\b[a-z]+_[a-z2-7]{10}\b/g))
}

/** Removes files that no record knows: what was being made or taken away when the daemon was killed. */
export async function sweep(box: Box): Promise<void> {
  for (const { id, path } of await box.files.list()) {
    const { vms, layers, images, operations } = box.store.state
    if (id in vms || id in layers || id in images || namesIn(operations).has(id)) continue
    box.log.info({ path }, 'removing what nothing needs')
    await box.files.remove(path)
  }
}
