import { CroftError } from '../../lib/error.ts'
import { type Checkpoint, filterRecord, type State, type Vm } from '../../store/index.ts'
import { type Box, findVm, imageOf, type Report, stateOf, without } from '../box.ts'
import { onLayer } from '../layer/compaction.ts'
import { collect } from '../layer/garbage.ts'
import { carryOut } from '../operation/engine.ts'
import { exclusively, whileAllowed } from '../operation/exclusively.ts'
import { checkMemory, describeMemory } from '../sleep/memory.ts'
import { wakeUp } from '../sleep/sleep.ts'
import { bootVm } from '../vm/boot.ts'
import { type Made, makeVm } from '../vm/create.ts'
import { makeId } from '../vm/identity.ts'
import { closest } from '../vm/name.ts'
import { checkNewName, descriptionOf, makeLayer } from '../vm/record.ts'
import { checkAllowed } from '../vm/state.ts'
import { checkpointPlan, restorePlan } from './checkpoint-plans.ts'

/** Checkpoints that `restore` takes by itself; older ones of them go. */
const keptBeforeRestore = 5

/** The checkpoints of a VM that people see, oldest first: as they came into the store, whatever the clock said. Pure. */
export function checkpointsOf(state: Pick<State, 'checkpoints'>, vm: Pick<Vm, 'id'>): Checkpoint[] {
  return Object.values(state.checkpoints).filter(({ vm: of, kind }) => of === vm.id && kind !== 'copy')
}

/** @throws CroftError `not-found`, with the label that was probably meant */
export function findCheckpoint(state: State, vm: Vm, label: string): Checkpoint {
  const all = checkpointsOf(state, vm)
  const found = all.find((each) => each.label === label) ?? all.find((each) => each.id === label)
  if (found) return found
  const labels = all.map((each) => each.label)
  const meant = closest(label, labels)
  throw new CroftError('not-found', `${vm.name} has no checkpoint ${JSON.stringify(label.slice(0, 60))}.`, {
    hint: meant
      ? `Did you mean ${meant}?`
      : labels.length
        ? `croft checkpoint ls ${vm.name} shows them.`
        : `It has none. Take one: croft checkpoint ${vm.name}`,
  })
}

/**
 * Takes a checkpoint of a VM, which runs on: of its disk and, when it is awake or asleep, of its memory.
 * @throws CroftError `name-taken`, `conflict`, `disk-full`; the VM is then as it was
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

interface Take {
  label?: string | undefined
  kind: Checkpoint['kind']
  /** False to leave the memory out. */
  memory: boolean
}

/** The VM's lock is held. */
async function take(box: Box, id: string, { label, kind, memory: wanted }: Take, report: Report): Promise<Checkpoint> {
  const vm = findVm(box.store.state, id)
  const state = stateOf(box, vm)
  checkAllowed('checkpoint', vm.name, state)
  const now = new Date().toISOString()
  const disk = makeLayer(vm.disk, now)
  const asleep = vm.memory ? box.store.state.memories[vm.memory]! : null
  const saved =
    state === 'asleep'
      ? asleep
      : state === 'awake'
        ? describeMemory(await box.hypervisor.hardwareOf(vm.uuid, imageOf(box.store.state, vm)))
        : null
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
  await carryOut(
    box,
    checkpointPlan,
    operation,
    (current) => {
      if (kind !== 'copy' && checkpointsOf(current, vm).some((other) => other.label === checkpoint.label)) {
        throw new CroftError('name-taken', `${vm.name} has a checkpoint ${checkpoint.label} already.`, {
          hint: 'Take another label, or none: then Croft gives it one.',
        })
      }
      return current
    },
    report,
  )
  if (kind !== 'copy') box.events.publish({ type: 'vm.changed', vm: id, name: vm.name })
  return checkpoint
}

/** c1, c2, …: one more than the highest there is. Pure. */
function freeLabel(state: State, vm: Vm): string {
  const numbers = checkpointsOf(state, vm).map(({ label }) => Number(/^c(\d+)$/.exec(label)?.[1] ?? 0))
  return `c${Math.max(0, ...numbers) + 1}`
}

export interface CopyOptions {
  name?: string | undefined
  /** Leave the memory: the copy boots. */
  diskOnly?: boolean | undefined
}

/**
 * Copies a VM: a running one with its memory, at one instant; the copy runs on under its own name. The copy of a
 * sleeping VM is asleep, that of a stopped one stopped. Copies asked for at the same time are made from one checkpoint.
 */
export async function copyVm(
  box: Box,
  name: string,
  options: CopyOptions,
  report: Report,
  wanted?: AbortSignal,
): Promise<Made> {
  const { id } = findVm(box.store.state, name)
  if (options.name !== undefined) checkNewName(box.store.state, options.name)
  const memory = !options.diskOnly
  const key = `${id} ${memory}`
  let coming = box.copying.get(key)
  if (!coming) {
    coming = exclusively(box, id, async () => {
      box.copying.delete(key)
      // As it is now: while this waited for its turn it may have been put to sleep, or renamed.
      const source = findVm(box.store.state, id)
      const state = stateOf(box, source)
      const checkpoint = await take(box, id, { kind: 'copy', label: 'copy', memory }, report)
      hold(box, checkpoint.id, 1)
      return { checkpoint, source, state }
    })
    box.copying.set(key, coming)
    coming.then(
      // Held until all who share it have taken hold of it themselves.
      ({ checkpoint }) => setImmediate(() => letGo(box, checkpoint.id)),
      () => box.copying.delete(key),
    )
  }
  const { checkpoint, source, state } = await coming
  hold(box, checkpoint.id, 1)
  try {
    return await forkCheckpoint(
      box,
      checkpoint,
      source,
      options.name,
      { asleep: state === 'asleep' && memory, power: state === 'stopped' || state === 'crashed' ? 'off' : 'on' },
      report,
      wanted,
    )
  } finally {
    letGo(box, checkpoint.id)
  }
}

/** Collected in the background: whoever made a copy need not wait for that. */
function letGo(box: Box, id: string): void {
  hold(box, id, -1)
  collect(box).catch((err) => box.log.error({ err }, 'could not collect'))
}

function hold(box: Box, id: string, by: 1 | -1): void {
  const count = (box.held.get(id) ?? 0) + by
  if (count > 0) box.held.set(id, count)
  else box.held.delete(id)
}

/** Makes a new VM from a checkpoint of another. */
export async function forkFrom(
  box: Box,
  name: string,
  label: string,
  as: string | undefined,
  report: Report,
): Promise<Made> {
  const source = findVm(box.store.state, name)
  const checkpoint = findCheckpoint(box.store.state, source, label)
  hold(box, checkpoint.id, 1)
  try {
    return await forkCheckpoint(box, checkpoint, source, as, { asleep: false, power: 'on' }, report)
  } finally {
    letGo(box, checkpoint.id)
  }
}

function forkCheckpoint(
  box: Box,
  checkpoint: Checkpoint,
  source: Vm,
  name: string | undefined,
  how: { asleep: boolean; power: Vm['power'] },
  report: Report,
  wanted?: AbortSignal,
): Promise<Made> {
  const { image, limits, layer } = checkpoint
  const described = { ...descriptionOf(source), name, image, limits }
  return makeVm(box, { ...described, ...how, layer, from: checkpoint }, report, wanted)
}

/**
 * Puts a VM's disk and memory back to a checkpoint. What it is now becomes a checkpoint first, so that this can be
 * undone the same way.
 * @returns that checkpoint, and why the VM had to boot if it had to
 */
export async function restoreVm(
  box: Box,
  name: string,
  label: string,
  report: Report,
): Promise<{ before: Checkpoint; cold: string | undefined }> {
  return whileAllowed(box, name, 'restore', async (vm, state) => {
    const { id } = vm
    const checkpoint = findCheckpoint(box.store.state, vm, label)
    const ran = state !== 'stopped' && state !== 'crashed'
    const before = await take(box, id, { kind: 'before-restore', memory: true }, report)
    const now = new Date().toISOString()
    const disk = makeLayer(checkpoint.layer, now)
    const operation = {
      id: makeId('op'),
      kind: 'restore',
      startedAt: now,
      vm: id,
      checkpoint: checkpoint.id,
      disk,
    } as const
    report({ subject: vm.name, step: `going back to ${checkpoint.label}`, fraction: 0.5 })
    await onLayer(box, checkpoint.layer, () => carryOut(box, restorePlan, operation, (current) => current, report))
    const restored = findVm(box.store.state, id)
    let cold: string | undefined
    if (restored.memory) cold = await wakeUp(box, restored, report)
    else if (ran) await bootVm(box, restored, report)
    box.events.publish({ type: 'vm.changed', vm: id, name: vm.name })
    await prune(box, id)
    return { before, cold }
  })
}

async function prune(box: Box, id: string): Promise<void> {
  await box.store.update((state) => ({ ...state, checkpoints: pruned(state, { id }) }))
  await collect(box)
}

/** The checkpoints without those too many that `restore` took of a VM by itself. Pure. */
export function pruned(state: Pick<State, 'checkpoints'>, vm: Pick<Vm, 'id'>): State['checkpoints'] {
  const own = checkpointsOf(state, vm).filter(({ kind }) => kind === 'before-restore')
  const old = new Set(own.slice(0, -keptBeforeRestore).map(({ id }) => id))
  return filterRecord(state.checkpoints, ({ id }) => !old.has(id))
}

/** Forgets a checkpoint. What later ones and forks need of it stays. */
export async function removeCheckpoint(box: Box, name: string, label: string): Promise<Checkpoint> {
  const { id } = findVm(box.store.state, name)
  return exclusively(box, id, async () => {
    const vm = findVm(box.store.state, id)
    const checkpoint = findCheckpoint(box.store.state, vm, label)
    await box.store.update((state) => {
      const { parent } = checkpoint
      const bridged = <T extends { [key in K]: string | null }, K extends string>(records: Record<string, T>, key: K) =>
        Object.fromEntries(
          Object.entries(records).map(([each, record]) => [
            each,
            record[key] === checkpoint.id ? { ...record, [key]: parent } : record,
          ]),
        )
      return {
        ...state,
        checkpoints: bridged(without(state.checkpoints, checkpoint.id), 'parent'),
        vms: bridged(state.vms, 'checkpoint'),
      }
    })
    await collect(box)
    box.events.publish({ type: 'vm.changed', vm: id, name: vm.name })
    return checkpoint
  })
}
