import { CroftError } from '../../lib/error.ts'
import { type Checkpoint, type Layer, noRates, type State, type Vm } from '../../store/index.ts'
import { type Box, vmsOf, without } from '../box.ts'
import { makeId, makeIdentity, nextAddress } from './identity.ts'
import { checkVmName, inventName } from './name.ts'

/** What a VM has from what was asked for it, and a copy from its source. */
export type Description = Pick<Vm, 'env' | 'tags' | 'comment' | 'priority' | 'restart' | 'rates'>

/** No more of it than its description. Pure. */
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
  /** The layer that its disk begins on. */
  layer: string
  /** The checkpoint whose memory, if it has any, is loaded. */
  from: Checkpoint | undefined
  /** It stays asleep in that memory. */
  asleep: boolean
}

/** The state with a VM's record and its disk's in it. Who it is (address, MAC and the like) is made here, as are defaults. */
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
    checkpoint: null,
    sleepAfter: null,
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

/** The record of a new layer on another, for a VM to write. */
export function makeLayer(parent: string, createdAt: string): Layer {
  const id = makeId('lay')
  return { id, file: `layers/${id}.qcow2`, parent, createdAt }
}

/** The name that was asked for, or one that is invented. @throws CroftError as `checkNewName` */
export function newName(state: State, wanted: string | undefined): string {
  const names = new Set(vmsOf(state).map((vm) => vm.name))
  const name = wanted ?? inventName((candidate) => names.has(candidate))
  checkNewName(state, name)
  return name
}

/**
 * Whether a VM may be called so, in this very state.
 * @param argument the command's argument that holds the name @throws CroftError `bad-name`, `name-taken`
 */
export function checkNewName(state: State, name: string, argument = 'name'): void {
  checkVmName(name, argument)
  if (!vmsOf(state).some((vm) => vm.name === name)) return
  throw new CroftError('name-taken', `There is a VM called ${name} already.`, {
    hint: argument === 'name' ? 'Take another name, or none: then Croft invents one.' : 'Take another name.',
    argument,
  })
}

/** The record of a VM and of the layer that is its own disk. */
export function withoutVm(state: State, id: string): State {
  const { [id]: vm, ...vms } = state.vms
  return vm ? { ...state, vms, layers: without(state.layers, vm.disk) } : state
}
