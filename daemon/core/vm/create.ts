import { CroftError } from '../../lib/error.ts'
import { mebibytes } from '../../lib/units.ts'
import { type Limits, noRates, type Rates, type State, type Vm } from '../../store/index.ts'
import { type Box, findImage, findVm, type Report, stateOf } from '../box.ts'
import { ensureGolden, findGolden } from '../image/golden.ts'
import { claimSpare } from '../image/spares.ts'
import { onLayer } from '../layer/compaction.ts'
import { collect } from '../layer/garbage.ts'
import { carryOut } from '../operation/engine.ts'
import { recoverUnder } from '../operation/exclusively.ts'
import { makeId } from './identity.ts'
import { checkRates } from './qos.ts'
import { descriptionOf, type ForkOptions, makeLayer, newName, withRecord } from './record.ts'
import { checkAllowed } from './state.ts'
import { newPlan, rmPlan } from './vm-plans.ts'

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
  /** Make it, but do not start it. */
  stopped?: boolean | undefined
  /** Boot it rather than fork the image's golden checkpoint. */
  cold?: boolean | undefined
}

/** A VM that has been made. */
export interface Made {
  vm: Vm
  /** Why it was booted and not forked, when that was not asked for. */
  cold: string | undefined
}

/**
 * Makes a VM from an image and, unless told otherwise, has it running: as a fork of the image's golden checkpoint, or
 * cold where there is none for its hardware yet; then one is made afterwards. Either all of it happens or nothing.
 * @param wanted ends it, and nothing of it is left
 * @throws CroftError `bad-name`, `name-taken`, `not-found` (image), `bad-value` (limits), `disk-full`, `guest-failed`
 */
export async function newVm(box: Box, options: NewVmOptions, report: Report, wanted?: AbortSignal): Promise<Made> {
  const { defaults } = box.settings
  const image = findImage(box.store.state, options.image ?? defaults.image)
  const limits = {
    cpus: options.cpus ?? defaults.cpus,
    memoryMiB: options.memoryMiB ?? defaults.memoryMiB,
    diskGiB: options.diskGiB ?? image.diskGiB,
  }
  checkRates(box, options.rates ?? {})
  // Only what is asked for: the size that an image's disks have by themselves costs nothing, also on a smaller box.
  checkLimits(box, { cpus: options.cpus, memoryMiB: options.memoryMiB, diskGiB: options.diskGiB })
  if (limits.diskGiB < image.diskGiB) {
    throw new CroftError('bad-value', `A disk from ${image.name} has at least ${image.diskGiB} GiB.`, {
      hint: 'It costs only what is written to it, so a large one costs nothing.',
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
  const made = ready ? { vm: ready, cold: undefined } : await makeVm(box, fork, report, wanted)
  if (boots && !golden && box.settings.golden) {
    ensureGolden(box, image, limits).catch((err) => box.log.error({ err }, 'could not make a golden checkpoint'))
    made.cold ??= `no VM of ${image.name} with ${cpusAndMemory(limits)} has been made here yet; the next one is quick`
  }
  return made
}

const cpusAndMemory = ({ cpus, memoryMiB }: Limits): string =>
  `${cpus} CPU${cpus === 1 ? '' : 's'} and ${mebibytes(memoryMiB)} of memory`

/** The one way in which VMs come to be. @throws CroftError `bad-name`, `name-taken`, `conflict`, `disk-full`, `guest-failed` */
export async function makeVm(box: Box, options: ForkOptions, report: Report, wanted?: AbortSignal): Promise<Made> {
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
    box.locks.run(id, () => onLayer(box, options.layer, () => carryOut(box, newPlan, operation, begin, noting, wanted)))
  await (asleep || options.power === 'off' ? make() : box.governor.admit(options.name ?? 'another VM', make))
  const vm = box.store.state.vms[id]!
  box.events.publish({ type: 'vm.new', vm: id, name: vm.name })
  return { vm, cold }
}

/** The state with a new VM and its disk in it, with a name and an address that are free in this very state. */
function withNewVm(box: Box, state: State, id: string, options: ForkOptions, now: string): State {
  const { image, limits, power, layer, from } = options
  const name = newName(state, options.name)
  if (!(layer in state.layers) || (from && !(from.id in state.checkpoints))) {
    throw new CroftError('conflict', 'What it was to be made from has just been removed.', { hint: 'Try again.' })
  }
  const memory = from?.memory ?? null
  const vm = { ...descriptionOf(options), id, name, image, limits, memory, phase: 'making', power } as const
  const checkpoints = from ? { ...state.checkpoints, [from.id]: { ...from, usedAt: now } } : state.checkpoints
  return { ...withRecord(box, state, vm, makeLayer(layer, now)), checkpoints }
}

/** @throws CroftError `bad-value` when more is asked for than the box has */
export function checkLimits(box: Box, limits: { [key in keyof Limits]?: number | undefined }): void {
  const { most } = box.settings
  const check = (what: string, argument: string, asked: number | undefined, has: number, unit: string) => {
    if (asked === undefined || asked <= has) return
    throw new CroftError('bad-value', `The box has ${has} ${unit}; ${asked} can't be given to a VM.`, {
      hint: `Ask for at most --${argument} ${has}${what}.`,
      argument,
    })
  }
  check('', 'cpu', limits.cpus, most.cpus, 'CPUs')
  check('M', 'memory', limits.memoryMiB, most.memoryMiB, 'MiB of memory')
  check('G', 'disk', limits.diskGiB, most.diskGiB, 'GiB of disk')
}

/** Deletes a VM and all that belongs to it, whatever state it is in. */
export async function removeVm(box: Box, name: string): Promise<void> {
  const { id } = findVm(box.store.state, name)
  await box.locks.run(id, async () => {
    await recoverUnder(box, id).catch((err) =>
      box.log.warn({ vm: id, err }, 'what was begun with it before goes with it'),
    )
    const vm = findVm(box.store.state, id)
    checkAllowed('rm', vm.name, stateOf(box, vm))
    const operation = { id: makeId('op'), kind: 'rm', startedAt: new Date().toISOString(), vm: id } as const
    const leaving = { ...vm, phase: 'leaving', power: 'off' } as const
    await carryOut(box, rmPlan, operation, (state) => ({ ...state, vms: { ...state.vms, [id]: leaving } }))
    box.live.forget(vm.uuid)
    box.uses.forget(id)
    box.events.publish({ type: 'vm.removed', vm: id, name: vm.name })
    await collect(box)
  })
}
