import type { Layer, State } from '../store/index.ts'
import { type Box, findOperationVm, layerOf } from './box.ts'
import type { OperationOf, Plan } from './plan.ts'

/** Where a test may kill the daemon after a merge, before its files are gone. */
export const mergeFaultPoint = 'merge.files'

type Merging = OperationOf<'merge'>

/**
 * `merge`: what every layer shows stays the same at each moment, so that it can be cut off anywhere. Which file the
 * changed one names beneath it tells whether it happened. The files of the layers that went are left to who began it,
 * or to the sweep.
 */
export const mergeLayers: Plan<Merging> = {
  async recovery(box, operation) {
    const vm = operation.by === null ? undefined : box.store.state.vms[operation.by]
    if (vm) await box.hypervisor.endBlockJob(vm.uuid)
    return (await isMerged(box, operation)) ? 'finish' : 'undo'
  },
  steps: [
    {
      name: 'lend',
      async run(box, operation) {
        if (await isMerged(box, operation)) return
        for (const { file } of lent(box.store.state, operation)) await box.files.lend(file)
      },
      undo: freeze,
    },
    {
      name: 'data',
      async run(box, operation) {
        if (await isMerged(box, operation)) return
        await gather(box, operation).catch(async (error) => {
          if (!(await isMerged(box, operation))) throw error
        })
      },
      async undo(box, operation) {
        const { file } = layerOf(box.store.state, operation.layer)
        if (operation.way === 'copy') await box.files.remove(copyOf(file))
        if (operation.way === 'rebase') await box.files.repair(file)
      },
    },
    { name: 'freeze', run: freeze },
    { name: 'sync', run: sync },
    {
      name: 'replace',
      async run(box, operation) {
        if (operation.way !== 'copy' || (await isMerged(box, operation))) return
        const { file } = layerOf(box.store.state, operation.layer)
        await box.files.replace(copyOf(file), file)
      },
    },
  ],
  end(state, operation) {
    const { layer, lowest } = partsOf(state, operation)
    const kept = Object.entries(state.layers).filter(([id]) => !operation.gone.includes(id))
    const merged = { ...layer, file: fileAfter(state, operation), parent: lowest.parent }
    return { ...state, layers: { ...Object.fromEntries(kept), [layer.id]: merged } }
  },
}

/** The files of a merge that no layer is in afterwards. Pure. */
export function filesLeft(state: State, operation: Merging): string[] {
  const files = [operation.layer, ...operation.gone].map((id) => layerOf(state, id).file)
  return files.filter((file) => file !== fileAfter(state, operation))
}

function partsOf(state: State, { layer, gone }: Merging): { layer: Layer; lowest: Layer; base: Layer } {
  const lowest = layerOf(state, gone.at(-1)!)
  return { layer: layerOf(state, layer), lowest, base: layerOf(state, lowest.parent!) }
}

/** The file that the merged layer is in. */
function fileAfter(state: State, operation: Merging): string {
  const { layer, lowest } = partsOf(state, operation)
  return operation.way === 'commit' ? lowest.file : layer.file
}

/** While a layer is copied, its copy. Its name begins with the layer's id, as that of every file of a layer. */
const copyOf = (file: string): string => file.replace(/\.qcow2$/, '.merging.qcow2')

async function isMerged(box: Box, operation: Merging): Promise<boolean> {
  const { layer, lowest, base } = partsOf(box.store.state, operation)
  if (operation.above === null) return (await box.files.backing(layer.file)) === base.file
  return (await box.files.backing(layerOf(box.store.state, operation.above).file)) === lowest.file
}

/** The frozen layers that QEMU writes in a `commit`: the lowest, and in the one above the name of what is beneath it. */
function lent(state: State, operation: Merging): Layer[] {
  if (operation.above === null) return []
  const above = layerOf(state, operation.above)
  const isDisk = Object.values(state.vms).some((vm) => vm.disk === above.id)
  return [partsOf(state, operation).lowest, ...(isDisk ? [] : [above])]
}

async function freeze(box: Box, operation: Merging): Promise<void> {
  for (const { file } of lent(box.store.state, operation)) await box.files.freeze(file)
}

async function gather(box: Box, operation: Merging): Promise<void> {
  const { layer, lowest, base } = partsOf(box.store.state, operation)
  const wanted = box.merging.get(operation.id)
  const uuid = () => findOperationVm(box, operation.by!).uuid
  switch (operation.way) {
    case 'pull':
      return box.hypervisor.pull(uuid(), base, wanted)
    case 'commit':
      return box.hypervisor.commit(uuid(), layer, lowest, wanted)
    case 'rebase':
      return box.files.rebase(layer.file, base.file, wanted)
    case 'copy':
      await box.files.copy(layer.file, copyOf(layer.file), wanted)
      await box.files.rebase(copyOf(layer.file), base.file, wanted)
      return box.files.freeze(copyOf(layer.file))
  }
}

/**
 * Has on the box's disk what the layers that go held, before their files may go. Of what a QEMU writes it keeps the
 * latest to itself until the guest says `sync`; without that the merge waits for the guest's end.
 */
async function sync(box: Box, operation: Merging): Promise<void> {
  const { state } = box.store
  const file = fileAfter(state, operation)
  const vm = operation.by === null ? undefined : state.vms[operation.by]
  if (operation.way === 'pull' && vm && (await box.hypervisor.state(vm.uuid)) === 'running') {
    await box.guests.script(vm.uuid, 'sync')
  }
  const copied = operation.way === 'copy' && !(await isMerged(box, operation))
  await box.files.sync(copied ? copyOf(file) : file)
  if (operation.above !== null) await box.files.sync(layerOf(state, operation.above).file)
}
