import { filterRecord, type Layer, type State } from '../../store/index.ts'
import { type Box, findOperationVm, layerOf, specOf } from '../box.ts'
import type { OperationDefinition, OperationOf } from '../operation/definition.ts'

/** Where a test may kill the daemon after a merge, before its files are gone. */
export const compactionFaultPoint = 'merge.files'

type CompactionRecord = OperationOf<'merge'>

/**
 * `merge`: the content of every needed layer stays the same at every moment, so the merge can be cut off anywhere.
 * Whether it happened shows in the one file name that it changes: the backing file of the layer, the backing file of
 * the layer above, or the VM's disk. The files that are left over are removed by `compact`, or by `removeOrphans`.
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

/** The files of a merge that hold no layer afterwards. Pure. */
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

/** The file that holds the merged layer. */
function fileAfter(state: State, operation: CompactionRecord): string {
  const { layer, lowest } = partsOf(state, operation)
  return operation.way === 'commit' ? lowest.file : layer.file
}

/** The path of the copy while a layer is copied. Like every layer file's name, it begins with the layer's id. */
const copyOf = (file: string): string => file.replace(/\.qcow2$/, '.merging.qcow2')

async function isCompacted(box: Box, { way, layer: id, gone, above, by }: CompactionRecord): Promise<boolean> {
  const { state } = box.store
  const { layer, lowest, base } = partsOf(state, { layer: id, gone })
  if (way !== 'commit') return (await box.files.backing(layer.file)) === base.file
  if (above !== null) return (await box.files.backing(layerOf(state, above).file)) === lowest.file
  const vm = state.vms[by!]
  return vm !== undefined && (await box.hypervisor.diskOf(vm.uuid)) === lowest.file
}

/** The frozen layers that QEMU writes in a `commit`: the lowest, and the one above, whose backing file it changes. */
function lent(state: State, operation: CompactionRecord): Layer[] {
  if (operation.way !== 'commit') return []
  const above = operation.above === null ? [] : [layerOf(state, operation.above)]
  const isDisk = (id: string) => Object.values(state.vms).some((vm) => vm.disk === id)
  return [partsOf(state, operation).lowest, ...above.filter(({ id }) => !isDisk(id))]
}

/**
 * Freezes the lent layers, except one that has become the VM's disk. After a failed commit, QEMU still has a layer open
 * for writing; it is made to reopen that read-only.
 */
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
 * Flushes the data of the merged layers to the box's disk before their files may be removed. QEMU keeps the latest
 * writes to a VM's disk to itself until the guest calls `sync`.
 */
async function sync(box: Box, operation: CompactionRecord): Promise<void> {
  const { state } = box.store
  const vm = operation.by === null ? undefined : state.vms[operation.by]
  if (vm && operation.above === null && (await box.hypervisor.state(vm.uuid)) === 'running') {
    // The VM has switched to another file already: this can't wait.
    await box.guests
      .script(vm.uuid, 'sync')
      .catch((err) => box.log.warn({ vm: vm.id, err }, 'could not flush its files after a merge'))
  }
  const file = fileAfter(state, operation)
  const copied = operation.way === 'copy' && !(await isCompacted(box, operation))
  await box.files.sync(copied ? copyOf(file) : file)
  if (operation.above !== null) await box.files.sync(layerOf(state, operation.above).file)
}
