import type { Box } from '../core/box.ts'
import type { VmStats } from '../core/interfaces/hypervisor.ts'
import { bytes } from '../lib/text/units.ts'
import type { Vm } from '../store/index.ts'
import type { GovernorAction, Sleeper, VmMemory } from './decide.ts'

/** How often a guest reports its memory use, in seconds: normally, and while it is squeezed. */
const statsS = { idle: 10, squeezed: 2 }
/** Older reports are ignored. */
const staleMs = 30_000
/** A balloon that has not begun to fill after `deafMs` does not work. It is tried again after `deafAgainMs`. */
const deafMs = 20_000
const deafAgainMs = 10 * 60_000
const pulseMs = 60_000
const MiB = 2 ** 20

interface Squeeze {
  at: number
  /** Bytes that the VM is left with, and its maximum. */
  to: number
  of: number
  why: string
}

/** What is known about a VM. Times are `performance.now()`. */
interface Known {
  squeeze?: Squeeze
  neededAt?: number
  deafAt?: number
  pulsedAt?: number
  /** Bytes that the VM holds but does not use. */
  unused?: number
  /** The guest's last report: its time in seconds (libvirt's clock), the total of major faults, and their rate. */
  said?: { at: number; faults: number; perS: number }
}

/** Reads what guests report about their memory, and inflates and deflates their balloons. */
export class Balloons {
  readonly #known = new Map<string, Known>()

  /** Whether any VM is squeezed or has unused memory to give back. */
  get areDue(): boolean {
    return this.#known.values().some(({ squeeze, unused }) => squeeze !== undefined || unused !== undefined)
  }

  /** Returns how a VM is squeezed; undefined when it is not. */
  squeezeOf = (id: string): Squeeze | undefined => this.#known.get(id)?.squeeze

  /** Records that a VM holds so many bytes that it does not use. */
  unused(id: string, bytes: number): void {
    this.#knownOf(id).unused = bytes
  }

  /** Forgets all VMs except these. */
  keep(ids: ReadonlySet<string>): void {
    for (const id of this.#known.keys()) if (!ids.has(id)) this.#known.delete(id)
  }

  /** Gives each VM all of its memory back. */
  async release(box: Box): Promise<void> {
    await Promise.allSettled(
      [...this.#known].map(async ([id, { squeeze }]) => {
        const vm = box.store.state.vms[id]
        if (squeeze && vm) await box.hypervisor.setBalloon(vm.uuid, squeeze.of, statsS.idle)
      }),
    )
  }

  /**
   * Returns the state of a VM's memory, for `planActions`.
   * @param sleeper what is known of it besides its memory
   */
  read(box: Box, vm: Vm, balloon: NonNullable<VmStats['balloon']>, sleeper: Sleeper): VmMemory {
    const now = performance.now()
    const known = this.#knownOf(vm.id)
    const { squeeze } = known
    if (squeeze && now - squeeze.at > deafMs && balloon.bytes >= balloon.maximumBytes && known.deafAt === undefined) {
      known.deafAt = now
      delete known.squeeze
      box.log.warn({ vm: vm.id }, 'the balloon of a VM does not fill')
    }
    if (known.deafAt !== undefined && now - known.deafAt > deafAgainMs) delete known.deafAt
    const { idleMs } = sleeper
    if (idleMs === undefined || (known.pulsedAt !== undefined && now - known.pulsedAt > idleMs)) delete known.pulsedAt
    const ago = (at: number | undefined) => (at === undefined ? undefined : now - at)
    return {
      ...sleeper,
      maximum: balloon.maximumBytes,
      balloon: balloon.bytes,
      guest: known.deafAt === undefined ? guestOf(known, balloon) : undefined,
      unused: known.unused ?? 0,
      past: { squeezedMs: ago(known.squeeze?.at), neededMs: ago(known.neededAt), pulsedMs: ago(known.pulsedAt) },
    }
  }

  /**
   * Squeezes or releases a VM.
   * @param reason the memory pressure of the box, in words
   * @param say reports what was done
   */
  async act(
    box: Box,
    vm: Vm,
    action: Extract<GovernorAction, { type: 'release' | 'squeeze' }>,
    reason: string,
    say: (vm: Vm, what: string) => void,
  ): Promise<void> {
    const known = this.#knownOf(vm.id)
    if (action.type === 'release') {
      await box.hypervisor.setBalloon(vm.uuid, action.to, statsS.idle)
      if (action.needed) known.neededAt = performance.now()
      if (known.squeeze) say(vm, `has all of its memory again: ${action.why}`)
      delete known.squeeze
      return
    }
    const again = known.squeeze
    await box.hypervisor.setBalloon(vm.uuid, action.to, statsS.squeezed)
    known.squeeze = { at: again?.at ?? performance.now(), to: action.to, of: action.of, why: action.why }
    if (!again) say(vm, `is held to ${bytes(action.to)} of memory, as the box has ${reason}; ${action.why}`)
  }

  /** Records that a pulse has begun: the VM gives back memory that it does not use. */
  pulsed(id: string): void {
    const known = this.#knownOf(id)
    if (known.unused) delete known.unused
    else known.pulsedAt = performance.now()
  }

  #knownOf(id: string): Known {
    const known = this.#known.get(id) ?? {}
    this.#known.set(id, known)
    return known
  }
}

/** Returns what a guest reported; undefined when the report is too old. */
function guestOf(known: Known, balloon: NonNullable<VmStats['balloon']>): VmMemory['guest'] {
  const { saidAt, majorFaults, usableBytes, cachesBytes: caches } = balloon
  // A report whose time lies in the future was made before the clock was set back.
  if (usableBytes === undefined || Math.abs(Date.now() - saidAt * 1000) > staleMs) return undefined
  const { said } = known
  if (said?.at !== saidAt) {
    const perS = said && saidAt > said.at ? Math.max(0, majorFaults - said.faults) / (saidAt - said.at) : 0
    known.said = { at: saidAt, faults: majorFaults, perS }
  }
  return { usable: usableBytes, caches, majorFaultsPerS: known.said!.perS }
}

/**
 * Squeezes a VM for a moment, unless someone needs the VM. The memory that the guest frees returns to the box.
 * @param to bytes to squeeze the VM to @param of the VM's maximum in bytes
 */
export async function pulseVm(box: Box, vm: Vm, to: number, of: number): Promise<void> {
  try {
    await box.locks.runPreemptible([vm.id], (signal) =>
      box.hypervisor.pulse(vm.uuid, Math.ceil(to / MiB), Math.floor(of / MiB), pulseMs, signal),
    )
  } catch (err) {
    box.log.warn({ vm: vm.id, err }, 'could not make a VM give back memory')
  }
}
