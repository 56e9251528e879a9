import type { Layer, Operation, State, Vm } from '../../store/index.ts'
import { namesIn } from './garbage.ts'

/**
 * A merge: how to give a layer the same content with fewer layers beneath it. The way depends on who has the layer
 * open:
 *
 *   `commit`  exactly one running VM: its QEMU commits the layer's data down into the lowest layer that goes, whose
 *             file becomes the layer's. (The other direction, a stream upwards, makes QEMU 7.2 fail an assertion when
 *             clusters have subclusters.)
 *   `rebase`  nobody, and it is the disk of a VM: the data of the layers that go is copied into it
 *   `copy`    nobody, and it is frozen: the same with a copy, which then takes its place
 *
 * A layer that several running VMs have open waits until all but one of them have ended.
 */
export interface Compaction
  extends Pick<Extract<Operation, { kind: 'merge' }>, 'way' | 'layer' | 'gone' | 'above' | 'by'> {
  /** Ids of the VMs whose disk is the layer or stands on it. */
  vms: string[]
}

/** The layer that changes, the layers on it, and the VMs that use it. */
interface Place {
  layer: Layer
  gone: string[]
  children: readonly Layer[]
  vms: readonly Vm[]
}

/**
 * Finds the next merge, if there is one. A layer goes when its only user is the single layer directly above it;
 * adjacent layers that go are merged together. Pure.
 * @param runs whether a VM has a QEMU now
 * @param busy whether an operation works on a VM now: its layers stay as they are
 * @param except ids of other layers whose files stay as they are
 */
export function nextCompaction(
  state: State,
  runs: (vm: Vm) => boolean,
  busy: (vm: Vm) => boolean = () => false,
  except: ReadonlySet<string> = new Set(),
): Compaction | undefined {
  const children = childrenOf(state)
  const needed = neededBySelf(state)
  const named = namesIn(state.operations)
  const stays = (id: string | null) => id !== null && (named.has(id) || except.has(id))
  const goes = ({ id, parent }: Layer) => parent !== null && !needed.has(id) && children.get(id)?.length === 1
  for (const layer of Object.values(state.layers)) {
    if (layer.parent === null || goes(layer)) continue
    const gone: string[] = []
    for (let at = state.layers[layer.parent]; at && goes(at); at = state.layers[at.parent!]) gone.push(at.id)
    if (gone.length === 0) continue
    const vms = Object.values(state.vms).filter((vm) => chainOf(state, vm.disk).includes(layer.id))
    if (vms.some(busy)) continue
    const merge = choose({ layer, gone, vms, children: children.get(layer.id) ?? [] }, runs, state)
    if (merge && ![merge.layer, merge.above, ...merge.gone].some(stays)) return merge
  }
  return undefined
}

function choose(
  { layer, gone, children, vms }: Place,
  runs: (vm: Vm) => boolean,
  state: State,
): Compaction | undefined {
  const merge = { layer: layer.id, gone, above: null, by: null, vms: vms.map(({ id }) => id) }
  const owner = vms.find((vm) => vm.disk === layer.id)
  if (owner) return runs(owner) ? { ...merge, way: 'commit', by: owner.id } : { ...merge, way: 'rebase' }
  const running = vms.filter(runs)
  if (running.length === 0) return { ...merge, way: 'copy' }
  if (running.length > 1) return undefined
  const by = running[0]!.id
  const [above] = children
  if (above && children.length === 1) return { ...merge, way: 'commit', by, above: above.id }
  // Several layers have its file as their backing file; the layers beneath it can still become one.
  const [top, ...rest] = gone
  return rest.length && state.layers[top!]
    ? { ...merge, way: 'commit', by, above: layer.id, layer: top!, gone: rest }
    : undefined
}

/** The ids of a layer and of all layers beneath it, from the top down. Pure. */
export function chainOf(state: State, id: string): string[] {
  const chain: string[] = []
  for (let at: string | null = id; at !== null; at = state.layers[at]?.parent ?? null) chain.push(at)
  return chain
}

function childrenOf({ layers }: State): Map<string, Layer[]> {
  const children = new Map<string, Layer[]>()
  for (const layer of Object.values(layers)) {
    if (layer.parent === null) continue
    const siblings = children.get(layer.parent)
    if (siblings) siblings.push(layer)
    else children.set(layer.parent, [layer])
  }
  return children
}

/**
 * Ids of the layers that no merge takes away, so that each still has its own content. A merge that was aborted may have
 * written to any other one beneath a disk. Pure.
 */
export function fixedLayers(state: State): Set<string> {
  const several = [...childrenOf(state)].filter(([, layers]) => layers.length > 1).map(([id]) => id)
  const named = [...Object.values(state.checkpoints), ...Object.values(state.images)].map(({ layer }) => layer)
  const fixed = new Set([...named, ...several])
  for (const { disk } of Object.values(state.vms)) fixed.delete(disk)
  return fixed
}

/** Ids of the layers that something other than a layer needs: disks, checkpoints, images, and open operations. */
function neededBySelf({ vms, checkpoints, images, operations }: State): Set<string> {
  return new Set([
    ...Object.values(vms).map(({ disk }) => disk),
    ...[...Object.values(checkpoints), ...Object.values(images)].map(({ layer }) => layer),
    ...namesIn(operations),
  ])
}
