import { filterRecord, type Layer, type State } from '../../store/index.ts'
import { type Box, findOperationVm, layerOf, specOf } from '../box.ts'
import type { OperationDefinition, OperationOf } from '../operation/definition.ts'

/** Where a test may kill the daemon after a merge, before its files are gone. */
export const compactionFaultPoint = 'merge.files'

type CompactionRecord = OperationOf<'merge'>

/**
 * `merge`: what every layer that is needed shows stays the same at each moment, so that it can be cut off anywhere.
 * Whether it happened tells the file whose name changes by it: that of what is beneath the layer, that of the layer in the
 * one above, or that of the VM's disk. The files that are left over are removed by who began it, or by the sweep.
 */
export const compactionOperation: OperationDefinition<CompactionRecord> = {
  async recovery(box, operation) {
    const vm = operation.by === null ? undefined : box.store.state.vms[operation.by]
    if (vm) await box.hypervisor.endBlockJob(vm.uuid)
    return (await isCompacted(box, operation)) ? 'finish' : 'undo'
  },
  steps: [
    {
      name: 'lend',
      async run(box, operation) {
        if (await isCompacted(box, operation)) return
        for (const { file } of lent(box.store.state, operation)) await box.files.lend(file)
      },
      undo: freeze,
    },
    {
      name: 'data',
      async run(box, operation, _, signal) {
        if (await isCompacted(box, operation)) return
        await gather(box, operation, signal).catch(async (error) => {
          if (!(await isCompacted(box, operation))) throw error
        })
      },
      async undo(box, operation) {
        const { file } = layerOf(box.store.state, operation.layer)
        if (operation.way === 'copy') await box.files.remove(copyOf(file))
        if (operation.way === 'rebase') await box.files.repair(file)
      },
    },
    {
      name: 'define',
      async run(box, operation) {
        if (operation.by === null || operation.above !== null) return
        const vm = findOperationVm(box, operation.by)
        const { layer, lowest } = partsOf(box.store.state, operation)
        await box.hypervisor.define({ ...specOf(box.store.state, vm), disk: { ...layer, file: lowest.file } })
      },
    },
    { name: 'freeze', run: freeze },
    { name: 'sync', run: sync },
    {
      name: 'replace',
      async run(box, operation) {
        if (operation.way !== 'copy' || (await isCompacted(box, operation))) return
        const { file } = layerOf(box.store.state, operation.layer)
        await box.files.replace(copyOf(file), file)
      },
    },
  ],
  commit(state, operation) {
    const { layer, lowest } = partsOf(state, operation)
    const kept = filterRecord(state.layers, ({ id }) => !operation.gone.includes(id))
    const merged = { ...layer, file: fileAfter(state, operation), parent: lowest.parent }
    return { ...state, layers: { ...kept, [layer.id]: merged } }
  },
}

/** The files of a merge that no layer is in afterwards. Pure. */
export function filesLeft(state: State, operation: CompactionRecord): string[] {
  const files = [operation.layer, ...operation.gone].map((id) => layerOf(state, id).file)
  return files.filter((file) => file !== fileAfter(state, operation))
}

function partsOf(
  state: State,
  { layer, gone }: Pick<CompactionRecord, 'layer' | 'gone'>,
): { layer: Layer; lowest: Layer; base: Layer } {
  const lowest = layerOf(state, gone.at(-1)!)
  return { layer: layerOf(state, layer), lowest, base: layerOf(state, lowest.parent!) }
}

/** The file that the merged layer is in. */
function fileAfter(state: State, operation: CompactionRecord): string {
  const { layer, lowest } = partsOf(state, operation)
  return operation.way === 'commit' ? lowest.file : layer.file
}

/** While a layer is copied, its copy. Its name begins with the layer's id, as that of every file of a layer. */
const copyOf = (file: string): string => file.replace(/\.qcow2$/, '.merging.qcow2')

async function isCompacted(box: Box, { way, layer: id, gone, above, by }: CompactionRecord): Promise<boolean> {
  const { state } = box.store
  const { layer, lowest, base } = partsOf(state, { layer: id, gone })
  if (way !== 'commit') return (await box.files.backing(layer.file)) === base.file
  if (above !== null) return (await box.files.backing(layerOf(state, above).file)) === lowest.file
  const vm = state.vms[by!]
  return vm !== undefined && (await box.hypervisor.diskOf(vm.uuid)) === lowest.file
}

/** The frozen layers that QEMU writes in a `commit`: the lowest, and in the one above the name of what is beneath it. */
function lent(state: State, operation: CompactionRecord): Layer[] {
  if (operation.way !== 'commit') return []
  const above = operation.above === null ? [] : [layerOf(state, operation.above)]
  const isDisk = (id: string) => Object.values(state.vms).some((vm) => vm.disk === id)
  return [partsOf(state, operation).lowest, ...above.filter(({ id }) => !isDisk(id))]
}

/** Not what has become the VM's disk. What a QEMU has open for writing, for its commit failed, it only reads from then on. */
async function freeze(box: Box, operation: CompactionRecord): Promise<void> {
  if (operation.way === 'commit' && operation.above === null) {
    if (await isCompacted(box, operation)) return
    const vm = box.store.state.vms[operation.by!]
    const { lowest, base } = partsOf(box.store.state, operation)
    if (vm && (await box.hypervisor.state(vm.uuid)) === 'running') await box.hypervisor.onlyRead(vm.uuid, lowest, base)
  }
  for (const { file } of lent(box.store.state, operation)) await box.files.freeze(file)
}

async function gather(box: Box, operation: CompactionRecord, signal: AbortSignal): Promise<void> {
  const { layer, lowest, base } = partsOf(box.store.state, operation)
  switch (operation.way) {
    case 'commit':
      return box.hypervisor.commit(findOperationVm(box, operation.by!).uuid, layer, lowest, signal)
    case 'rebase':
      return box.files.rebase(layer.file, base.file, signal)
    case 'copy':
      await box.files.copy(layer.file, copyOf(layer.file), signal)
      await box.files.rebase(copyOf(layer.file), base.file, signal)
      return box.files.freeze(copyOf(layer.file))
  }
}

/**
 * Has on the box's disk what the layers that go held, before their files may go. Of what a QEMU writes to a VM's disk it
 * keeps the latest to itself until the guest says `sync`.
 */
async function sync(box: Box, operation: CompactionRecord): Promise<void> {
  const { state } = box.store
  const vm = operation.by === null ? undefined : state.vms[operation.by]
  if (vm && operation.above === null && (await box.hypervisor.state(vm.uuid)) === 'running') {
    // The VM has turned to another file already: this can't be left for later.
    await box.guests
      .script(vm.uuid, 'sync')
      .catch((err) => box.log.warn({ vm: vm.id, err }, 'could not be told to write out its files after a merge'))
  }
  const file = fileAfter(state, operation)
  const copied = operation.way === 'copy' && !(await isCompacted(box, operation))
  await box.files.sync(copied ? copyOf(file) : file)
  if (operation.above !== null) await box.files.sync(layerOf(state, operation.above).file)
}
