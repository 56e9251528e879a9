import type { Logger } from 'pino'
import type { Activity } from '../activity/index.ts'
import type { Locks } from '../lib/async/locks.ts'
import { CroftError } from '../lib/error.ts'
import type { Operation } from '../store/index.ts'
import {
  type Image,
  indexBy,
  type Layer,
  type Limits,
  type Rates,
  type State,
  type Store,
  type Vm,
} from '../store/index.ts'
import type { EventLog } from './events.ts'
import type { BackupStore } from './interfaces/backup-store.ts'
import type { Files } from './interfaces/files.ts'
import type { MemoryGovernor } from './interfaces/governor.ts'
import type { Guests } from './interfaces/guests.ts'
import type { DomainSpec, Hypervisor } from './interfaces/hypervisor.ts'
import type { ImageFiles } from './interfaces/images.ts'
import type { Network } from './interfaces/network.ts'
import type { Progress } from './interfaces/progress.ts'
import type { PublicKeys } from './interfaces/public-keys.ts'
import { hasMemory, type Live, type LiveState } from './live.ts'
import type { UsageTracker } from './usage.ts'
import type { Subnet } from './vm/identity.ts'
import { closest } from './vm/name.ts'
import { type VmState, vmState } from './vm/state.ts'

export interface BoxSettings {
  subnet: Subnet
  /**
   * What a VM gets by default. `sleepAfter`: minutes without use until it is put to sleep, 0 for never. `dozeAfter`:
   * seconds without use until it dozes, 0 for never.
   */
  defaults: Limits & { image: string; sleepAfter: number; dozeAfter: number }
  /** What the box has: the upper bound for any request. */
  most: Limits
  /** The cgroup version that the kernel uses here to share CPUs; 0 for none. */
  cpuCgroups: 0 | 1 | 2
  /** How guests run; `auto`: whatever was detected, as recorded in the store. */
  accelerator: 'auto' | 'kvm' | 'tcg'
  /** Whether the kernel allocates pages for memory that is only read: saving a guest then takes all its memory. */
  readsTakeMemory: boolean
  /** Whether golden checkpoints are made. */
  golden: boolean
  /** Whether guests may map memory bases; see core/memory-base. */
  memoryLayers: boolean
  /** How many forks of the default image are kept loaded for the next `new`: the spares. */
  spares: number
  /** Absolute path of the configuration, which is outside the state folder. */
  configPath: string
  /** How long a cold boot may take until the guest agent answers. */
  bootTimeoutMs: number
}

/** Starts VMs again after a restart of the box. */
export interface Autostart {
  /** Whether this daemon has begun to start them. */
  readonly begun: boolean
  /** Starts the VMs that should run and do not. @returns resolves when none is left */
  begin(box: Box): Promise<void>
  /** Whether a VM is queued or being started. */
  has(id: string): boolean
  /**
   * Moves a VM ahead of those that nobody waits for.
   * @returns resolves when the VM can be used; undefined when it is not in the queue
   * @throws CroftError `no-room`: it is retried later
   */
  want(id: string): Promise<void> | undefined
}

/** Keeps VMs loaded in advance for the next `new`. */
export interface Spares {
  /** Once it is quiet, makes missing spares and removes unusable ones. */
  refresh(): void
  stop(): void
}

/** The parts of a VM's share, each of which a box may or may not support: CPU weight, disk weight, and each limit. */
export type ShareKind = 'cpuWeight' | 'diskWeight' | keyof Rates

/** The parts of the box, wired once by `main.ts` and passed as the first argument to every function of the domain. */
export interface Box {
  readonly settings: BoxSettings
  readonly store: Store
  readonly hypervisor: Hypervisor
  readonly network: Network
  readonly files: Files
  readonly imageFiles: ImageFiles
  readonly backups: BackupStore
  readonly guests: Guests
  readonly publicKeys: PublicKeys
  readonly live: Live
  readonly usage: UsageTracker
  readonly events: EventLog
  /** The activity log: who did what. */
  readonly activity: Activity
  /**
   * One change at a time per VM (key: its id) and per image (key: its name). A merge holds its layer's id, and is
   * preemptible.
   */
  readonly locks: Locks
  readonly autostart: Autostart
  /** Finishes or undoes an operation that was left open; its lock is held. @throws as the engine's `recover` */
  readonly recoverIfOpen: (box: Box, operation: Operation) => Promise<void>
  readonly spares: Spares
  /** The web address of a VM; null when this box has no web addresses. */
  webAddress(vm: Vm): string | null
  readonly governor: MemoryGovernor
  /** How clients reach the box by SSH; null when it has no gateway. */
  readonly ssh: { port: number; host(reached?: string): string } | null
  readonly log: Logger
}

export type Report = (progress: Progress) => void

/** The VMs that people see: all but Croft's own. */
export function vmsOf(state: State): Vm[] {
  return Object.values(state.vms).filter((vm) => !isOwn(vm))
}

const isOwn = (vm: Vm) => vm.phase === 'golden' || vm.phase === 'spare'
// Croft's own VMs have no name that anybody would look up.
const byName = indexBy((vm: Vm) => (isOwn(vm) ? vm.id : vm.name))

const byDomain = indexBy((vm: Vm) => vm.uuid)

/** The VM whose domain has this UUID, including Croft's own VMs. */
export const vmOfDomain = (state: State, uuid: string): Vm | undefined => byDomain(state.vms, uuid)

/** The VM with this name, among those that people see. */
export function vmNamed(state: State, name: string): Vm | undefined {
  const vm = byName(state.vms, name)
  return vm && !isOwn(vm) ? vm : undefined
}

/** Finds a VM. @param name its name, or its id @throws CroftError `not-found`, with the name that was probably meant */
export function findVm(state: State, name: string): Vm {
  const known = vmNamed(state, name) ?? state.vms[name]
  if (known && !isOwn(known)) return known
  const vms = vmsOf(state)
  const meant = closest(
    name,
    vms.map((each) => each.name),
  )
  throw new CroftError('not-found', `No VM called ${JSON.stringify(name.slice(0, 60))}.`, {
    hint: meant
      ? `Did you mean ${meant}?`
      : vms.length
        ? 'croft ls shows them all.'
        : 'There are no VMs yet. Make one: croft new',
  })
}

/** Finds the current image of a name. @throws CroftError `not-found` */
export function findImage(state: State, name: string): Image {
  const images = Object.values(state.images).filter((image) => image.current)
  const image = images.find((each) => each.name === name)
  if (image) return image
  const meant = closest(
    name,
    images.map((each) => each.name),
  )
  throw new CroftError('not-found', `No image called ${JSON.stringify(name.slice(0, 60))}.`, {
    hint: meant
      ? `Did you mean ${meant}?`
      : images.length
        ? 'croft image ls shows them all.'
        : `Build it: croft image build ${/^[a-z-]+$/.test(name) ? name : 'debian'}`,
  })
}

/** The image whose kernel this VM boots: the build it was made from, even when a newer build has the name now. */
export function imageOf(state: State, vm: Vm): Image {
  const image = state.images[vm.image]
  if (!image) throw new CroftError('internal', `${vm.name} belongs to an image that is gone (${vm.image}).`)
  return image
}

/** The domain that a VM should have now. */
export function specOf(state: State, vm: Vm): DomainSpec {
  return { vm, image: imageOf(state, vm), disk: layerOf(state, vm.disk) }
}

export function layerOf(state: State, id: string): Layer {
  const layer = state.layers[id]
  if (!layer) throw new CroftError('internal', `A required layer is not in the store (${id}).`)
  return layer
}

export function stateOf(box: Box, vm: Vm): VmState {
  return vmState(vm, box.live.get(vm.uuid))
}

/**
 * Calls `then` for each VM, including Croft's own, when it runs and its guest agent begins to answer.
 * @returns stops watching
 */
export function whenUp(box: Pick<Box, 'live' | 'store'>, then: (vm: Vm) => void): () => void {
  return box.live.watch((uuid, now, before) => {
    if (now?.domain !== 'running' || !now.agent || before?.agent) return
    const vm = vmOfDomain(box.store.state, uuid)
    if (vm) then(vm)
  })
}

/**
 * Calls `then` for each VM, including Croft's own, that has a QEMU: when QEMU is started (`isNew`), or when the daemon
 * first learns of one that already ran. @returns stops watching
 */
export function whenStarted(box: Pick<Box, 'live' | 'store'>, then: (vm: Vm, isNew: boolean) => void): () => void {
  // A start that was only requested has no QEMU yet: see boot.ts.
  const there = (live: LiveState | undefined) => hasMemory(live) && live?.reason !== 'asked'
  return box.live.watch((uuid, now, before) => {
    if (!there(now) || there(before)) return
    const vm = vmOfDomain(box.store.state, uuid)
    if (vm) then(vm, before !== undefined)
  })
}

/** Returns a state change that updates some fields of a VM. */
export function withVm(id: string, change: Partial<Vm>): (state: State) => State {
  return (state) => {
    const vm = state.vms[id]
    return vm ? { ...state, vms: { ...state.vms, [id]: { ...vm, ...change } } } : state
  }
}

export function without<T>(record: Readonly<Record<string, T>>, key: string): Record<string, T> {
  const { [key]: _, ...rest } = record
  return rest
}

/** The VM that an operation works on; its record outlives the operation's last step. */
export function findOperationVm(box: Box, id: string): Vm {
  const vm = box.store.state.vms[id]
  if (!vm) throw new CroftError('internal', `An operation refers to ${id}, which is not in the store.`)
  return vm
}
