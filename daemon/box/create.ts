import { CroftError } from '../error.ts'
import type { Layer, State, Vm } from '../store/index.ts'
import { type Box, findImage, findVm, type Report, stateOf } from './box.ts'
import { collect } from './collect.ts'
import { makeId, makeIdentity, nextAddress } from './identity.ts'
import { checkVmName, inventName } from './name.ts'
import { carryOut } from './operations.ts'
import { checkAllowed } from './state.ts'

export interface NewVmOptions {
  name?: string | undefined
  image?: string | undefined
  cpus?: number | undefined
  memoryMiB?: number | undefined
  diskGiB?: number | undefined
  env?: Record<string, string> | undefined
  tags?: string[] | undefined
  comment?: string | undefined
  /** Make it, but do not start it. */
  stopped?: boolean | undefined
}

/**
 * Makes a VM and, unless told otherwise, starts it and waits until it can be used. Either all of it happens or nothing.
 * @throws CroftError `bad-name`, `name-taken`, `not-found` (image), `bad-value` (limits), `disk-full`, `guest-failed`
 */
export async function newVm(box: Box, options: NewVmOptions, report: Report): Promise<Vm> {
  if (options.name !== undefined) checkVmName(options.name)
  const id = makeId('vm')
  const power = options.stopped ? ('off' as const) : ('on' as const)
  const operation = { id: makeId('op'), kind: 'new', startedAt: new Date().toISOString(), vm: id } as const
  await box.locks.run(id, () =>
    carryOut(
      box,
      operation,
      (state) => {
        const { vm, disk } = describeVm(box, state, id, options, power)
        return {
          ...state,
          nextAddress: nextAddress(vm.ip, box.settings.subnet),
          vms: { ...state.vms, [id]: vm },
          layers: { ...state.layers, [disk.id]: disk },
        }
      },
      report,
    ),
  )
  const vm = box.store.state.vms[id]!
  box.events.publish({ type: 'vm.new', vm: id, name: vm.name })
  return vm
}

/** The record of a new VM, with a name and an address that are free in this very state. */
function describeVm(
  box: Box,
  state: State,
  id: string,
  options: NewVmOptions,
  power: Vm['power'],
): { vm: Vm; disk: Layer } {
  const { defaults, subnet } = box.settings
  const image = findImage(state, options.image ?? defaults.image)
  const vms = Object.values(state.vms)
  const names = new Set(vms.map((vm) => vm.name))
  const name = options.name ?? inventName((candidate) => names.has(candidate))
  if (names.has(name)) throw nameTaken(name)
  const limits = {
    cpus: options.cpus ?? defaults.cpus,
    memoryMiB: options.memoryMiB ?? defaults.memoryMiB,
    diskGiB: options.diskGiB ?? image.diskGiB,
  }
  checkLimits(box, limits)
  if (limits.diskGiB < image.diskGiB) {
    throw new CroftError('bad-value', `A disk from ${image.name} has at least ${image.diskGiB} GiB.`, {
      hint: 'It costs only what is written to it, so a large one costs nothing.',
    })
  }
  const createdAt = new Date().toISOString()
  const disk = makeLayer(image.layer, createdAt)
  const vm: Vm = {
    id,
    ...makeIdentity(vms, subnet, state.nextAddress),
    name,
    image: image.id,
    disk: disk.id,
    limits,
    env: options.env ?? {},
    tags: options.tags ?? [],
    comment: options.comment ?? '',
    createdAt,
    phase: 'making',
    power,
  }
  return { vm, disk }
}

/** The record of a new layer on another, for a VM to write. */
export function makeLayer(parent: string, createdAt: string): Layer {
  const id = makeId('lay')
  return { id, file: `layers/${id}.qcow2`, parent, createdAt }
}

export function nameTaken(name: string): CroftError {
  return new CroftError('name-taken', `There is a VM called ${name} already.`, {
    hint: 'Take another name, or none: then Croft invents one.',
  })
}

/** @throws CroftError `bad-value` when more is asked for than the box has */
export function checkLimits(box: Box, limits: Partial<Vm['limits']>): void {
  const { most } = box.settings
  const check = (what: string, flag: string, asked: number | undefined, has: number, unit: string) => {
    if (asked === undefined || asked <= has) return
    throw new CroftError('bad-value', `The box has ${has} ${unit}; ${asked} can't be given to a VM.`, {
      hint: `Ask for at most ${flag} ${has}${what}.`,
    })
  }
  check('', '--cpu', limits.cpus, most.cpus, 'CPUs')
  check('M', '--memory', limits.memoryMiB, most.memoryMiB, 'MiB of memory')
  check('G', '--disk', limits.diskGiB, most.diskGiB, 'GiB of disk')
}

/** Deletes a VM and all that belongs to it, whatever state it is in. */
export async function removeVm(box: Box, name: string): Promise<void> {
  const { id } = findVm(box.store.state, name)
  await box.locks.run(id, async () => {
    const vm = findVm(box.store.state, id)
    checkAllowed('rm', vm.name, stateOf(box, vm))
    const operation = { id: makeId('op'), kind: 'rm', startedAt: new Date().toISOString(), vm: id } as const
    const leaving = { ...vm, phase: 'leaving', power: 'off' } as const
    await carryOut(box, operation, (state) => ({ ...state, vms: { ...state.vms, [id]: leaving } }))
    box.live.forget(vm.uuid)
    box.events.publish({ type: 'vm.removed', vm: id, name: vm.name })
    await collect(box)
  })
}
