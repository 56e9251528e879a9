import { CroftError, isBoxTrouble } from '../../lib/error.ts'
import { mebibytes } from '../../lib/text/units.ts'
import { type Limits, noRates, type Rates, type State, type Vm } from '../../store/index.ts'
import { type Box, findImage, findOperationVm, layerOf, type Report, withVm } from '../box.ts'
import { ensureGolden, findGolden } from '../image/golden.ts'
import { claimSpare } from '../image/spares.ts'
import { onLayer } from '../layer/compaction.ts'
import { forgetCheckpoint } from '../layer/garbage.ts'
import type { OperationDefinition, OperationOf } from '../operation/definition.ts'
import { execute } from '../operation/engine.ts'
import { loadMemory, loads, waitUntilReady } from '../sleep/memory.ts'
import { bootVm } from './boot.ts'
import { makeId } from './identity.ts'
import { checkLimits } from './limits.ts'
import { growTo, preparation } from './preparation.ts'
import { checkRates } from './qos.ts'
import { descriptionOf, type ForkOptions, makeLayer, newName, withoutVm, withRecord } from './record.ts'

export interface NewVmOptions {
  name?: string | undefined
  image?: string | undefined
  cpus?: number | undefined
  memoryMiB?: number | undefined
  diskGiB?: number | undefined
  env?: Record<string, string> | undefined
  tags?: string[] | undefined
  comment?: string | undefined
  priority?: Vm['priority'] | undefined
  restart?: Vm['restart'] | undefined
  rates?: Partial<Rates> | undefined
  /** Make the VM, but do not start it. */
  stopped?: boolean | undefined
  /** Boot the VM rather than fork the image's golden checkpoint. */
  cold?: boolean | undefined
}

/** A VM that has been made. */
export interface Made {
  vm: Vm
  /** Why the VM was booted rather than forked, when the caller did not ask for that. */
  cold: string | undefined
}

/**
 * Makes a VM from an image and, unless told otherwise, starts it: as a fork of the image's golden checkpoint, or cold
 * where there is none for its hardware yet; one is then made afterwards. All of it happens, or nothing.
 * @param signal aborted to cancel; nothing is left then
 * @throws CroftError `bad-name`, `name-taken`, `not-found` (image), `bad-value` (limits), `disk-full`, `guest-failed`
 */
export async function newVm(box: Box, options: NewVmOptions, report: Report, signal?: AbortSignal): Promise<Made> {
  const { defaults } = box.settings
  const image = findImage(box.store.state, options.image ?? defaults.image)
  const limits = {
    cpus: options.cpus ?? defaults.cpus,
    memoryMiB: options.memoryMiB ?? defaults.memoryMiB,
    diskGiB: options.diskGiB ?? image.diskGiB,
  }
  checkRates(box, options.rates ?? {})
  // Only requested limits are checked: the default size of an image's disks costs nothing, even on a smaller box.
  checkLimits(box, { cpus: options.cpus, memoryMiB: options.memoryMiB, diskGiB: options.diskGiB })
  if (limits.diskGiB < image.diskGiB) {
    throw new CroftError('bad-value', `A disk of the image ${image.name} has at least ${image.diskGiB} GiB.`, {
      hint: 'A disk takes only the space that is written to it, so a large one costs nothing.',
      argument: 'disk',
    })
  }
  const boots = !options.stopped && !options.cold
  const golden = boots ? findGolden(box.store.state, image, await box.hypervisor.hardware(image, limits)) : undefined
  const { env = {}, tags = [], comment = '', priority = 'normal', restart = 'never' } = options
  const rates = { ...noRates, ...options.rates }
  const described = { name: options.name, image: image.id, limits, env, tags, comment, priority, restart, rates }
  const power = options.stopped ? 'off' : 'on'
  const fork = { ...described, power, layer: golden?.layer ?? image.layer, from: golden, asleep: false } as const
  const ready = golden && (await claimSpare(box, golden, fork, report))
  const made = ready ? { vm: ready, cold: undefined } : await makeVm(box, fork, report, signal)
  if (boots && !golden && box.settings.golden) {
    ensureGolden(box, image, limits).catch((err) => box.log.error({ err }, 'could not make a golden checkpoint'))
    made.cold ??= `no VM of ${image.name} with ${cpusAndMemory(limits)} has been made here yet; the next one is quick`
  }
  return made
}

const cpusAndMemory = ({ cpus, memoryMiB }: Limits): string =>
  `${cpus} CPU${cpus === 1 ? '' : 's'} and ${mebibytes(memoryMiB)} of memory`

/**
 * Makes a VM from a layer and, optionally, a checkpoint's memory; `new`, copies and forks all go through here.
 * @throws CroftError `bad-name`, `name-taken`, `conflict`, `disk-full`, `guest-failed`
 */
export async function makeVm(box: Box, options: ForkOptions, report: Report, signal?: AbortSignal): Promise<Made> {
  const id = makeId('vm')
  const now = new Date().toISOString()
  const { asleep } = options
  const from = options.from?.id ?? null
  const operation = { id: makeId('op'), kind: 'new', startedAt: now, vm: id, from, asleep } as const
  let cold: string | undefined
  const noting: Report = (progress) => {
    cold ??= progress.note
    report(progress)
  }
  const begin = (state: State) => withNewVm(box, state, id, options, now)
  const make = () =>
    box.locks.run(id, () =>
      onLayer(box, options.layer, () => execute(box, newOperation, operation, begin, noting, signal)),
    )
  await (asleep || options.power === 'off' ? make() : box.governor.admit(options.name ?? 'another VM', make))
  const vm = box.store.state.vms[id]!
  box.events.publish({ type: 'vm.new', vm: id, name: vm.name })
  return { vm, cold }
}

/** Adds a new VM and its disk to the state, with a name and an address that are free in that state. */
function withNewVm(box: Box, state: State, id: string, options: ForkOptions, now: string): State {
  const { image, limits, power, layer, from } = options
  const name = newName(state, options.name)
  if (!(layer in state.layers) || (from && !(from.id in state.checkpoints))) {
    throw new CroftError('conflict', 'The image or checkpoint to make it from has just been removed.', {
      hint: 'Try again.',
    })
  }
  const memory = from?.memory ?? null
  const vm = { ...descriptionOf(options), id, name, image, limits, memory, phase: 'making', power } as const
  const checkpoints = from ? { ...state.checkpoints, [from.id]: { ...from, usedAt: now } } : state.checkpoints
  return { ...withRecord(box, state, vm, makeLayer(layer, now)), checkpoints }
}

/** `new`: the VM's record is in the store, as `making`, from the start. That reserves its name, address and MAC. */
export const newOperation: OperationDefinition<OperationOf<'new'>> = {
  recovery: 'undo',
  steps: [
    ...preparation,
    {
      name: 'boot',
      async run(box, operation, report, signal) {
        const vm = findOperationVm(box, operation.vm)
        if (vm.power === 'off' || operation.asleep) return
        if (vm.memory) await forkIn(box, vm, operation, report, signal)
        else await bootVm(box, vm, report, signal)
      },
      undo: (box, { vm }) => box.hypervisor.powerOff(findOperationVm(box, vm).uuid),
    },
  ],
  commit: (state, { vm, asleep }) => withVm(vm, { phase: 'ready', ...(!asleep && { memory: null }) })(state),
  rollback: (state, { vm }) => withoutVm(state, vm),
}

/**
 * Starts a new VM from the memory of the checkpoint that it forks. If a golden checkpoint turns out not to work, it is
 * forgotten, and the VM boots from a clean disk instead: any other problem will show in the boot too.
 */
async function forkIn(
  box: Box,
  vm: Vm,
  { from }: OperationOf<'new'>,
  report: Report,
  signal: AbortSignal,
): Promise<void> {
  const checkpoint = box.store.state.checkpoints[from!]!
  try {
    report({ subject: vm.name, step: 'waiting for its turn to load', fraction: 0.2 })
    await loads(box).run(async () => {
      report({ subject: vm.name, step: 'loading its memory', fraction: 0.3 })
      await loadMemory(box, vm, box.store.state.memories[vm.memory!]!, 'running')
      report({ subject: vm.name, step: 'telling it who it is', fraction: 0.8 })
      await waitUntilReady(box, vm)
    })
    await growTo(box, vm, checkpoint.limits.diskGiB)
  } catch (err) {
    if (checkpoint.kind !== 'golden' || isBoxTrouble(err)) throw err
    box.log.error({ vm: vm.id, checkpoint: checkpoint.id, err }, 'a golden checkpoint does not work')
    await forgetCheckpoint(box, checkpoint.id)
    await box.hypervisor.powerOff(vm.uuid)
    const disk = layerOf(box.store.state, vm.disk)
    await box.files.createDisk(disk, layerOf(box.store.state, disk.parent!), vm.limits.diskGiB)
    report({ subject: vm.name, step: 'booting', fraction: 0.15, note: 'the golden checkpoint did not work' })
    await bootVm(box, vm, report, signal)
  }
}
