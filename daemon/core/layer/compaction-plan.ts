import type { Layer, Operation, State, Vm } from '../../store/index.ts'
import { namesIn } from './garbage.ts'

/**
 * What to do so that a layer shows the same with fewer layers beneath it. In which way depends on who has it open:
 *
 *   `commit`  just one running VM: its QEMU writes what the layer holds down into the lowest one that goes, whose file
 *             is then the layer's. (The other direction, a stream upwards, ends QEMU 7.2 at an assertion when clusters
 *             have subclusters.)
 *   `rebase`  nobody, and it is the disk of a VM: what the layers that go hold is copied into it
 *   `copy`    nobody, and it is frozen: the same with a copy, which then takes its place
 *
 * A layer that several running VMs have open waits until all but one of them have ended.
 */
export interface Compaction
  extends Pick<Extract<Operation, { kind: 'merge' }>, 'way' | 'layer' | 'gone' | 'above' | 'by'> {
  /** Ids of the VMs that have the layer beneath them or for a disk. */
  vms: string[]
}

/** The layer that changes, and what has it open. */
interface Place {
  layer: Layer
  gone: string[]
  children: readonly Layer[]
  vms: readonly Vm[]
}

/**
 * The next merge, if there is one: a layer goes when nothing needs it but the one layer on top of it. Layers that go and
 * lie on one another go together. Pure.
 * @param runs whether a VM has a QEMU now @param busy whether something is done with a VM now: its layers stay as they are
 * @param except ids of layers that stay as they are too
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
    if (merge && !stays(merge.layer) && !stays(merge.above)) return merge
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
  // Several layers name its file; those beneath it can still become one.
  const [top, ...rest] = gone
  return rest.length && state.layers[top!]
    ? { ...merge, way: 'commit', by, above: layer.id, layer: top!, gone: rest }
    : undefined
}

/** The ids of a layer and of all beneath it, from the top down. Pure. */
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

/** What more than the layers on top of them needs: disks, checkpoints, images, and what is being worked with. */
function neededBySelf({ vms, checkpoints, images, operations }: State): Set<string> {
  return new Set([
    ...Object.values(vms).map(({ disk }) => disk),
    ...[...Object.values(checkpoints), ...Object.values(images)].map(({ layer }) => layer),
    ...namesIn(operations),
  ])
}
