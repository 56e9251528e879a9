import type { Checkpoint, Image, State, Vm } from '../../store/index.ts'
import type { Box } from '../box.ts'
import { imageFileNames } from '../image/file-names.ts'
import { chainOf } from './compaction-plan.ts'
import { filesOfBase, type Garbage, garbage, isRecorded, namesIn } from './garbage.ts'
import { held } from './holds.ts'

/** The disk space that something people know takes on the box: allocated bytes, not the apparent sizes of files. */
export interface Part {
  /** `memory`: the saved memory of a sleeping VM. `spare`: loaded for the next `new`. */
  kind: 'vm' | 'memory' | 'checkpoint' | 'image' | 'golden' | 'spare'
  id: string
  /** A VM's or an image's name, a checkpoint's label. */
  name: string
  /** Id of the VM or image that it belongs to and is removed with; for a VM or an image, its own id. */
  group: string
  /** Freed when only this is removed: a VM or an image together with everything that belongs to it. */
  ownBytes: number
  /** What it uses together with things that would stay. */
  sharedBytes: number
  /** The size of its own layer, without those beneath it, and of its own memory. */
  layerBytes: number
  savedMemoryBytes: number
  createdAt: string
}

export interface DiskUse {
  /** The largest VM first, then images; each is followed by its parts. */
  parts: Part[]
  /** All files of VMs, checkpoints and images, each counted once. */
  allBytes: number
  /** The files among them that several VMs or images use. */
  sharedBytes: number
  /** Files that still exist although nothing needs them any more. */
  leftovers: { files: number; bytes: number }
}

/** A file or folder that belongs to one thing, by its path in the state folder. */
export interface Measured {
  id: string
  path: string
  bytes: number
}

type Held = Parameters<typeof garbage>[1]

export async function readDiskUse(box: Box): Promise<DiskUse> {
  const listed = await box.files.list()
  const { state } = box.store
  const files = await Promise.all(listed.map(async (each) => ({ ...each, bytes: await box.files.usage(each.path) })))
  return diskUse(state, held(box), files)
}

/**
 * Attributes files to their owners. Derived from the whole state, like garbage. Pure.
 * @param held checkpoints that somebody is about to use @param files all existing files
 */
export function diskUse(state: State, held: Held, files: readonly Measured[]): DiskUse {
  const gone = garbage(state, held)
  const things = thingsIn(state, gone)
  const groups = Map.groupBy(things, ({ group }) => group)
  const keepers = keepersOf(things)
  const sizes = new Map(files.map(({ path, bytes }) => [path, bytes]))
  const sum = (paths: Iterable<string>) => [...paths].reduce((all, path) => all + (sizes.get(path) ?? 0), 0)

  const parts = things.flatMap((thing): Part[] => {
    const { kind, id, name, group, createdAt } = thing
    if (kind === 'work') return []
    const whole = isHead(kind) ? groups.get(group)! : [thing]
    const all = new Set(whole.flatMap(({ uses }) => uses))
    const own = sum(onlyOf(whole, keepers))
    const held = { layerBytes: sum(thing.disk), savedMemoryBytes: sum(thing.memory) }
    return [{ kind, id, name, group, createdAt, ownBytes: own, sharedBytes: sum(all) - own, ...held }]
  })
  const shared = [...keepers].filter(([, [first, ...more]]) => more.some(({ group }) => group !== first!.group))
  const collected = filesOf(gone)
  const left = files.filter(
    ({ id, path, bytes }) => bytes > 0 && !keepers.has(path) && (collected.has(path) || !isRecorded(state, id, path)),
  )
  return {
    parts: inOrder(parts),
    allBytes: sum(sizes.keys()),
    sharedBytes: sum(shared.map(([path]) => path)),
    leftovers: { files: left.length, bytes: sum(left.map(({ path }) => path)) },
  }
}

/**
 * The files that are removed with each VM, by its id: those of its checkpoints and saved memory too, and the layers
 * that only they need. Pure.
 * @param held as for `diskUse`
 */
export function filesOfVms(state: State, held: Held): Map<string, string[]> {
  const things = thingsIn(state, garbage(state, held))
  const groups = Map.groupBy(things, ({ group }) => group)
  const keepers = keepersOf(things)
  return new Map(
    things.flatMap(({ kind, id }) => (kind === 'vm' ? [[id, onlyOf(groups.get(id)!, keepers)] as const] : [])),
  )
}

/** The paths that only these things use. */
const onlyOf = (things: readonly Thing[], keepers: ReadonlyMap<string, Thing[]>): string[] =>
  [...new Set(things.flatMap(({ uses }) => uses))].filter((path) =>
    keepers.get(path)?.every((keeper) => things.includes(keeper)),
  )

/** A VM, checkpoint or image: it owns files, and keeps layers and memory below it from being collected. */
interface Thing extends Pick<Part, 'id' | 'name' | 'group' | 'createdAt'> {
  /** `work`: an operation that is under way. */
  kind: Part['kind'] | 'work'
  /** Its own files. */
  disk: readonly string[]
  memory: readonly string[]
  /** All files that it needs. */
  uses: readonly string[]
  /** Whether it keeps these files. An image that is no longer current does not: its VMs do. */
  keeps: boolean
}

/** The things that keep each file. */
function keepersOf(things: readonly Thing[]): Map<string, Thing[]> {
  const keepers = new Map<string, Thing[]>()
  for (const thing of things) {
    if (!thing.keeps) continue
    for (const path of new Set(thing.uses)) {
      const known = keepers.get(path)
      if (known) known.push(thing)
      else keepers.set(path, [thing])
    }
  }
  return keepers
}

function thingsIn(state: State, gone: Garbage): Thing[] {
  const lost = new Set([...gone.checkpoints, ...gone.images].map(({ id }) => id))
  const layers = (id: string) => chainOf(state, id).flatMap((each) => state.layers[each]?.file ?? [])
  const layer = (id: string) => layers(id).slice(0, 1)
  /** A memory's own file, and the base that it stands on. */
  const memoryOf = (id: string | null) => [state.memories[id ?? '']?.file ?? []].flat()
  const baseOf = (id: string | null) => [state.memoryBases[state.memories[id ?? '']?.base ?? '']?.file ?? []].flat()
  /** The files of bases that were made for copies of a VM or of saved memory. */
  const ownBases = (of: string | null) =>
    Object.values(state.memoryBases).flatMap((base) => (of !== null && base.of === of ? filesOfBase(base) : []))
  const imageFiles = (image: Image | undefined) =>
    image ? [...layers(image.layer), imageFileNames(image.id).folder] : []

  const ofVm = (vm: Vm): Thing[] => {
    const { id, name, createdAt, phase } = vm
    const memory = memoryOf(vm.memory)
    const kind = phase === 'spare' ? phase : phase === 'golden' ? 'work' : 'vm'
    const uses = [...layers(vm.disk), ...imageFiles(state.images[vm.image]), `vms/${id}`, ...ownBases(id)]
    const thing = { id, name, group: id, createdAt, kind, disk: layer(vm.disk), memory, uses, keeps: true } as const
    const base = baseOf(vm.memory)
    if (kind !== 'vm') return [{ ...thing, uses: [...uses, ...memory, ...base] }]
    const slept = [...memory, ...base, ...ownBases(vm.memory)]
    const asleep = { ...thing, kind: 'memory', id: vm.memory ?? '', disk: [], uses: slept } as const
    return [{ ...thing, memory: [] }, ...(memory.length ? [asleep] : [])]
  }
  const ofCheckpoint = (checkpoint: Checkpoint): Thing => {
    const { id, kind, label, vm, image, createdAt } = checkpoint
    const disk = layer(checkpoint.layer)
    const base = baseOf(checkpoint.memory)
    // A golden checkpoint's memory is its base, and what is left of it.
    const memory = [...memoryOf(checkpoint.memory), ...(kind === 'golden' ? base : [])]
    const uses = [...layers(checkpoint.layer), ...memory, ...base, ...ownBases(checkpoint.memory)]
    const own = { id, name: label, createdAt, disk, memory, uses, keeps: true }
    if (kind === 'golden') return { ...own, kind, group: image }
    return kind === 'copy' ? { ...own, kind: 'work', group: id } : { ...own, kind: 'checkpoint', group: vm ?? id }
  }
  const ofImage = (image: Image): Thing => {
    const { id, name, createdAt, current } = image
    const disk = [...layer(image.layer), imageFileNames(id).folder]
    return { id, kind: 'image', name, group: id, createdAt, disk, memory: [], uses: imageFiles(image), keeps: current }
  }
  const named = [...namesIn(state.operations)].flatMap((id) => [
    ...(id in state.layers ? layers(id) : []),
    ...memoryOf(id),
    ...baseOf(id),
    ...[state.memoryBases[id]?.file ?? []].flat(),
    ...imageFiles(state.images[id]),
  ])
  const work: Thing = {
    id: 'operations',
    kind: 'work',
    name: '',
    group: 'operations',
    createdAt: '',
    disk: [],
    memory: [],
    uses: named,
    keeps: true,
  }
  const kept = ({ id }: { id: string }) => !lost.has(id)
  return [
    ...Object.values(state.vms).flatMap(ofVm),
    ...Object.values(state.checkpoints).filter(kept).map(ofCheckpoint),
    ...Object.values(state.images).filter(kept).map(ofImage),
    work,
  ]
}

function filesOf({ layers, memories, memoryBases, images }: Garbage): Set<string> {
  return new Set([
    ...[...layers, ...memories].map(({ file }) => file),
    ...memoryBases.flatMap(filesOfBase),
    ...images.map(({ id }) => imageFileNames(id).folder),
  ])
}

const order: Part['kind'][] = ['vm', 'image', 'spare', 'memory', 'checkpoint', 'golden']
const isHead = (kind: Part['kind']) => kind === 'vm' || kind === 'image'

function inOrder(parts: readonly Part[]): Part[] {
  const byKind = (a: Part, b: Part) => order.indexOf(a.kind) - order.indexOf(b.kind)
  const groups = [...Map.groupBy(parts, ({ group }) => group).values()].map((group) =>
    group.toSorted((a, b) => byKind(a, b) || a.createdAt.localeCompare(b.createdAt)),
  )
  return groups.sort(([a], [b]) => byKind(a!, b!) || b!.ownBytes - a!.ownBytes).flat()
}
