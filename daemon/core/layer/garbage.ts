import { fault } from '../../lib/async/fault.ts'
import {
  type Checkpoint,
  filterRecord,
  type Image,
  type Layer,
  type Memory,
  type MemoryBase,
  type State,
} from '../../store/index.ts'
import { type Box, without } from '../box.ts'
import { imageFileNames } from '../image/file-names.ts'
import { held } from './holds.ts'

/** Where a test may kill the daemon during garbage collection. */
export const garbageFaultPoints = ['collect.records', 'collect.files'] as const

/**
 * Removes everything that nothing needs any more: checkpoints, saved memory, memory bases, layers, images. The records go first, in
 * one write; `removeOrphans` removes a file whose record is gone at the next start at the latest.
 */
export async function collectGarbage(box: Box): Promise<void> {
  let gone = garbage(box.store.state, held(box))
  if (everything(gone).length === 0) return
  fault('collect.records')
  await box.store.update((state) => {
    gone = garbage(state, held(box))
    const lost = new Set(everything(gone).map(({ id }) => id))
    const kept = <T>(records: Record<string, T>) => filterRecord(records, (_, id) => !lost.has(id))
    const { checkpoints, memories, memoryBases, layers, images } = state
    return {
      ...state,
      checkpoints: kept(checkpoints),
      memories: kept(memories),
      memoryBases: kept(memoryBases),
      layers: kept(layers),
      images: kept(images),
    }
  })
  fault('collect.files')
  for (const { file } of [...gone.layers, ...gone.memories]) await box.files.remove(file)
  for (const file of gone.memoryBases.flatMap(filesOfBase)) await box.files.remove(file)
  for (const image of gone.images) await box.files.remove(imageFileNames(image.id).folder)
}

const everything = ({ checkpoints, memories, memoryBases, layers, images }: Garbage): { id: string }[] => [
  ...checkpoints,
  ...memories,
  ...memoryBases,
  ...layers,
  ...images,
]

/** Removes a checkpoint's record, and everything that only it needed. */
export async function forgetCheckpoint(box: Box, id: string): Promise<void> {
  await box.store.update((state) => ({ ...state, checkpoints: without(state.checkpoints, id) }))
  await collectGarbage(box)
}

export interface Garbage {
  checkpoints: Checkpoint[]
  memories: Memory[]
  memoryBases: MemoryBase[]
  layers: Layer[]
  images: Image[]
}

/**
 * Finds what nothing needs. Derived from the whole state each time, rather than by keeping reference counts. Pure.
 * @param held checkpoints that somebody is about to use, and memory bases that guests map
 */
export function garbage(state: State, held: { has(id: string): boolean }): Garbage {
  const vms = Object.values(state.vms)
  const operations = namesIn(state.operations)
  const checkpoints = Object.values(state.checkpoints).filter((checkpoint) => {
    if (held.has(checkpoint.id) || operations.has(checkpoint.id)) return true
    if (checkpoint.kind === 'golden') return state.images[checkpoint.image]?.current === true
    return checkpoint.kind !== 'copy' && checkpoint.vm !== null && checkpoint.vm in state.vms
  })
  // Other checkpoints are of a VM or an image that keeps it.
  const copied = checkpoints.filter(({ kind }) => kind === 'copy')
  const imagesInUse = new Set([...vms, ...copied].map(({ image }) => image))
  const images = Object.values(state.images).filter(
    (image) => image.current || operations.has(image.id) || imagesInUse.has(image.id),
  )
  const kept = new Set([...vms, ...checkpoints].map(({ memory }) => memory))
  const memories = Object.values(state.memories).filter(({ id }) => kept.has(id) || operations.has(id))
  const bases = new Set(memories.map(({ base }) => base))
  const layers = new Set<string>()
  const need = (id: string | null) => {
    for (let at = id; at !== null && !layers.has(at); at = state.layers[at]?.parent ?? null) layers.add(at)
  }
  for (const { layer } of [...images, ...checkpoints]) need(layer)
  for (const vm of vms) need(vm.disk)
  for (const id of Object.keys(state.layers)) if (operations.has(id)) need(id)
  return {
    checkpoints: Object.values(state.checkpoints).filter((checkpoint) => !checkpoints.includes(checkpoint)),
    memories: Object.values(state.memories).filter((memory) => !memories.includes(memory)),
    memoryBases: Object.values(state.memoryBases).filter(
      ({ id }) => !bases.has(id) && !held.has(id) && !operations.has(id),
    ),
    layers: Object.values(state.layers).filter(({ id }) => !layers.has(id)),
    images: Object.values(state.images).filter((image) => !images.includes(image)),
  }
}

/** Every id that an open operation names: these things must not be touched. Pure. */
export function namesIn(operations: State['operations']): Set<string> {
  return new Set(JSON.stringify(operations).match(/\b[a-z]+_[a-z2-7]{10}\b/g))
}

/** Removes files without a record: those that were being made or removed when the daemon was killed. */
export async function removeOrphans(box: Box): Promise<void> {
  for (const { id, path } of await box.files.list()) {
    if (isRecorded(box.store.state, id, path)) continue
    box.log.info({ path }, 'removing a file that nothing needs')
    await box.files.remove(path)
  }
}

/**
 * Whether a file has a record. A layer's file may be named after another id: see `commit` in compaction-plan.ts.
 * Pure.
 */
export function isRecorded(
  { vms, layers, memories, memoryBases, images, operations }: State,
  id: string,
  path: string,
): boolean {
  if (id in vms || id in images || namesIn(operations).has(id)) return true
  if ([...Object.values(layers), ...Object.values(memories)].some(({ file }) => file === path)) return true
  return Object.values(memoryBases).some((base) => filesOfBase(base).includes(path))
}

/** The files that belong to a memory base. Pure. */
export const filesOfBase = ({ file, rest }: MemoryBase): string[] => (rest === null ? [file] : [file, rest])
