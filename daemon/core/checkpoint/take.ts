import { CroftError } from '../../lib/error.ts'
import type { Checkpoint, State, Vm } from '../../store/index.ts'
import { type Box, findOperationVm, findVm, layerOf, type Report, specOf, stateOf, withVm } from '../box.ts'
import type { OperationDefinition, OperationOf } from '../operation/definition.ts'
import { execute } from '../operation/engine.ts'
import { exclusively } from '../operation/exclusively.ts'
import { whileRunning } from '../sleep/doze.ts'
import { checkMemory, describeMemoryOf, savingBytes } from '../sleep/memory.ts'
import { makeId } from '../vm/identity.ts'
import { lendDisk, onlyReadBeneath } from '../vm/own-disk.ts'
import { makeLayer } from '../vm/record.ts'
import { checkAllowed, isUp } from '../vm/state.ts'
import { checkpointsOf } from './find.ts'

/**
 * Takes a checkpoint of a VM's disk and, when it has any, of its memory. A running VM runs on, and one that dozes goes
 * on for as long as it takes: QEMU saves the memory of a guest that stands still only once.
 * @throws CroftError `name-taken`, `conflict`, `disk-full`; the VM is then unchanged
 */
export async function takeCheckpoint(
  box: Box,
  name: string,
  label: string | undefined,
  kind: 'asked' | 'scheduled',
  report: Report,
): Promise<Checkpoint> {
  const { id } = findVm(box.store.state, name)
  return exclusively(box, id, () => take(box, id, { label, kind, memory: true }, report))
}

export interface Take {
  label?: string | undefined
  kind: Checkpoint['kind']
  /** False to leave the memory out. */
  memory: boolean
}

/** Takes a checkpoint; the caller holds the VM's lock. */
export async function take(
  box: Box,
  id: string,
  { label, kind, memory: wanted }: Take,
  report: Report,
): Promise<Checkpoint> {
  const vm = findVm(box.store.state, id)
  const state = stateOf(box, vm)
  checkAllowed('checkpoint', vm.name, state)
  const now = new Date().toISOString()
  const disk = makeLayer(vm.disk, now)
  const asleep = vm.memory ? box.store.state.memories[vm.memory]! : null
  const saved = state === 'asleep' ? asleep : isUp(state) ? await describeMemoryOf(box, vm, kind === 'copy') : null
  const memory = wanted ? saved : null
  if (state === 'asleep' && memory) await checkMemory(box, vm, memory)
  const checkpoint: Checkpoint = {
    id: makeId('chk'),
    kind,
    label: label ?? freeLabel(box.store.state, vm),
    vm: id,
    image: vm.image,
    layer: vm.disk,
    memory: memory?.id ?? null,
    parent: vm.checkpoint,
    limits: { ...vm.limits, ...(memory && { cpus: memory.hardware.cpus, memoryMiB: memory.hardware.memoryMiB }) },
    createdAt: now,
    usedAt: now,
  }
  const operation = { id: makeId('op'), kind: 'checkpoint', startedAt: now, vm: id, checkpoint, disk, memory } as const
  await whileRunning(box, vm, () =>
    execute(
      box,
      checkpointOperation,
      operation,
      (current) => {
        if (kind !== 'copy' && checkpointsOf(current, vm).some((other) => other.label === checkpoint.label)) {
          throw new CroftError('name-taken', `${vm.name} already has a checkpoint called ${checkpoint.label}.`, {
            hint: 'Choose another label, or leave it out: Croft then picks one.',
          })
        }
        return current
      },
      report,
    ),
  )
  if (kind !== 'copy') box.events.publish({ type: 'vm.changed', vm: id, name: vm.name })
  return checkpoint
}

/** Picks the next label of c1, c2, …: one more than the highest in use. Pure. */
function freeLabel(state: State, vm: Vm): string {
  const numbers = checkpointsOf(state, vm).map(({ label }) => Number(/^c(\d+)$/.exec(label)?.[1] ?? 0))
  return `c${Math.max(0, ...numbers) + 1}`
}

/**
 * `checkpoint`: the VM switches to a new, empty disk on top of its old one, which is never written again. For a running
 * guest, one libvirt snapshot switches the disk and saves the memory at the same instant, or does neither; a sleeping
 * guest's memory is saved already. After a failure or a crash of the daemon, the VM's disk tells whether the switch
 * happened. Once a guest has run on its new disk, the switch can't be undone.
 */
export const checkpointOperation: OperationDefinition<OperationOf<'checkpoint'>> = {
  async recovery(box, operation) {
    const { uuid } = findOperationVm(box, operation.vm)
    await box.hypervisor.jobDone(uuid)
    if (!(await turned(box, operation))) return 'undo'
    const ran = (await runs(box, uuid)) || (operation.memory !== null && !isSaved(box, operation))
    return ran || (await box.files.isWritten(operation.disk)) ? 'finish' : 'undo'
  },
  steps: [
    {
      name: 'disk',
      async run(box, operation) {
        if (await turned(box, operation)) return
        const vm = findOperationVm(box, operation.vm)
        await box.files.createDisk(operation.disk, layerOf(box.store.state, vm.disk), vm.limits.diskGiB)
      },
      undo: (box, { disk }) => box.files.remove(disk.file),
    },
    {
      name: 'snapshot',
      async run(box, operation, report) {
        const vm = findOperationVm(box, operation.vm)
        if (!(await runs(box, vm.uuid)) || (await turned(box, operation))) return
        report({ subject: vm.name, step: 'taking the checkpoint', fraction: 0.3 })
        const bytes = operation.memory ? await savingBytes(box, vm) : 0
        if (operation.memory) await onlyReadBeneath(box, vm)
        await box.governor.lend(`a checkpoint of ${vm.name}`, bytes, () =>
          box.hypervisor.snapshot(vm.uuid, operation.memory, operation.disk, box.live.get(vm.uuid)?.ready === true),
        )
        if (bytes > 0) box.governor.reclaim(vm.id, bytes)
      },
      async undo(box, operation) {
        if (operation.memory && !isSaved(box, operation)) await box.files.remove(operation.memory.file)
      },
    },
    {
      name: 'define',
      async run(box, { vm: id, disk }) {
        const vm = findOperationVm(box, id)
        await box.hypervisor.define({ ...specOf(box.store.state, vm), disk })
      },
      async undo(box, operation) {
        const vm = findOperationVm(box, operation.vm)
        if (await turned(box, operation)) await box.hypervisor.define(specOf(box.store.state, vm))
      },
    },
    {
      name: 'freeze',
      async run(box, operation) {
        const vm = findOperationVm(box, operation.vm)
        await box.files.freeze(layerOf(box.store.state, vm.disk).file)
        if (operation.memory && !isSaved(box, operation)) await box.files.freeze(operation.memory.file)
      },
      async undo(box, { vm }) {
        await lendDisk(box, findOperationVm(box, vm))
      },
    },
  ],
  commit: (state, { vm, checkpoint, disk, memory }) => ({
    ...withVm(vm, { disk: disk.id, checkpoint: checkpoint.id })(state),
    layers: { ...state.layers, [disk.id]: disk },
    checkpoints: { ...state.checkpoints, [checkpoint.id]: checkpoint },
    memories: memory ? { ...state.memories, [memory.id]: memory } : state.memories,
  }),
}

async function runs(box: Box, uuid: string): Promise<boolean> {
  return ['running', 'paused'].includes((await box.hypervisor.state(uuid)) ?? 'off')
}

/** Whether the VM's domain has switched to the new disk. */
export async function turned(box: Box, { vm, disk }: OperationOf<'checkpoint'>): Promise<boolean> {
  return (await box.hypervisor.diskOf(findOperationVm(box, vm).uuid)) === disk.file
}

/** Whether the checkpoint's memory existed before: that of a sleeping VM. */
function isSaved(box: Box, { memory }: OperationOf<'checkpoint'>): boolean {
  return memory !== null && memory.id in box.store.state.memories
}
