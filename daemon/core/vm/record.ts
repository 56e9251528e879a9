import { CroftError } from '../../lib/error.ts'
import { type Checkpoint, type Layer, noRates, type State, type Vm } from '../../store/index.ts'
import { type Box, vmsOf, without } from '../box.ts'
import { makeId, makeIdentity, nextAddress } from './identity.ts'
import { checkVmName, inventName } from './name.ts'

/** The fields of a VM that its owner chooses and that a copy takes from its source. */
export type Description = Pick<Vm, 'env' | 'tags' | 'comment' | 'priority' | 'restart' | 'rates'>

/** Picks these fields. Pure. */
export const descriptionOf = ({ env, tags, comment, priority, restart, rates }: Description): Description => ({
  env,
  tags,
  comment,
  priority,
  restart,
  rates,
})

export interface ForkOptions extends Description, Pick<Vm, 'image' | 'limits' | 'power'> {
  name?: string | undefined
  /** The layer beneath its disk. */
  layer: string
  /** The checkpoint whose memory, if any, is loaded. */
  from: Checkpoint | undefined
  /** Leave the VM asleep in that memory. */
  asleep: boolean
}

/**
 * Adds the records of a VM and its disk to the state. Makes the VM's identity (address, MAC and so on) and defaults.
 */
export function withRecord(
  box: Box,
  state: State,
  vm: Pick<Vm, 'id' | 'name' | 'image' | 'limits' | 'phase' | 'power'> & Partial<Vm>,
  disk: Layer,
): State {
  const record: Vm = {
    ...makeIdentity(Object.values(state.vms), box.settings.subnet, state.nextAddress),
    disk: disk.id,
    env: {},
    tags: [],
    comment: '',
    createdAt: disk.createdAt,
    memory: null,
    dozing: false,
    checkpoint: null,
    sleepAfter: null,
    appointment: null,
    keepsAppointments: true,
    restart: 'never',
    priority: 'normal',
    rates: noRates,
    schedule: { hourly: 0, daily: 0 },
    web: { port: null, public: [] },
    ...vm,
  }
  return {
    ...state,
    nextAddress: nextAddress(record.ip, box.settings.subnet),
    vms: { ...state.vms, [vm.id]: record },
    layers: { ...state.layers, [disk.id]: disk },
  }
}

/** Makes the record of a new layer on another, for a VM to write. */
export function makeLayer(parent: string, createdAt: string): Layer {
  const id = makeId('lay')
  return { id, file: `layers/${id}.qcow2`, parent, createdAt }
}

/** Returns the requested name, or invents one. @throws CroftError as `checkNewName` */
export function newName(state: State, wanted: string | undefined): string {
  const names = new Set(vmsOf(state).map((vm) => vm.name))
  const name = wanted ?? inventName((candidate) => names.has(candidate))
  checkNewName(state, name)
  return name
}

/**
 * Checks that a VM may have this name in this state.
 * @param argument the command's argument that holds the name @throws CroftError `bad-name`, `name-taken`
 */
export function checkNewName(state: State, name: string, argument = 'name'): void {
  checkVmName(name, argument)
  if (!vmsOf(state).some((vm) => vm.name === name)) return
  throw new CroftError('name-taken', `There is already a VM called ${name}.`, {
    hint:
      argument === 'name' ? 'Choose another name, or leave it out: Croft then invents one.' : 'Choose another name.',
    argument,
  })
}

/** Removes the records of a VM and of its own disk from the state. */
export function withoutVm(state: State, id: string): State {
  const { [id]: vm, ...vms } = state.vms
  return vm ? { ...state, vms, layers: without(state.layers, vm.disk) } : state
}
