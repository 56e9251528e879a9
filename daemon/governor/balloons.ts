import type { Box } from '../core/box.ts'
import type { VmStats } from '../core/interfaces/hypervisor.ts'
import { idleSince } from '../core/sleep/idle.ts'
import { bytes } from '../lib/units.ts'
import type { Vm } from '../store/index.ts'
import type { GovernorAction, VmMemory } from './decide.ts'

/** How often a guest reports what it uses: always, and while it has given up some of its memory. In seconds. */
const statsS = { idle: 10, squeezed: 2 }
/** A report that is older says nothing about now. */
const staleMs = 30_000
/** A balloon that has not begun to fill after so long does not work. How long until it is asked again. */
const deafMs = 20_000
const deafAgainMs = 10 * 60_000
const pulseMs = 60_000
const MiB = 2 ** 20

interface Squeeze {
  at: number
  /** Bytes that the VM has, and of how many. */
  to: number
  of: number
  why: string
}

/** What is remembered of a VM, by `performance.now()`. */
interface Known {
  squeeze?: Squeeze
  neededAt?: number
  deafAt?: number
  pulsedAt?: number
  /** Bytes that it has and has no use for. */
  unused?: number
  /** What its guest reported last: when, by libvirt's clock in seconds, and how many major faults it had had. */
  said?: { at: number; faults: number; perS: number }
}

/** The balloons of the VMs: what their guests report, and what is taken from them and given back. */
export class Balloons {
  readonly #known = new Map<string, Known>()

  /** Whether there are VMs that have given something up, or are to. */
  get areDue(): boolean {
    return this.#known.values().some(({ squeeze, unused }) => squeeze !== undefined || unused !== undefined)
  }

  /** What a VM has given up; undefined for nothing. */
  squeezeOf = (id: string): Squeeze | undefined => this.#known.get(id)?.squeeze

  /** A VM has so many bytes that it has no use for. */
  unused(id: string, bytes: number): void {
    this.#knownOf(id).unused = bytes
  }

  /** Forgets the VMs that are not among these. */
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

  /** @param computes whether it is in use by what it computes @param isTaken whether something is under way with it */
  read(
    box: Box,
    vm: Vm,
    balloon: NonNullable<VmStats['balloon']>,
    { computes, isTaken }: { computes: boolean; isTaken: boolean },
  ): VmMemory {
    const now = performance.now()
    const known = this.#knownOf(vm.id)
    const { squeeze } = known
    if (squeeze && now - squeeze.at > deafMs && balloon.bytes >= balloon.maximumBytes && known.deafAt === undefined) {
      known.deafAt = now
      delete known.squeeze
      box.log.warn({ vm: vm.id }, 'its balloon does not fill')
    }
    if (known.deafAt !== undefined && now - known.deafAt > deafAgainMs) delete known.deafAt
    // A VM that computes is in use, even before it has computed for long enough to count as used.
    const since = computes ? undefined : idleSince(box, vm)
    const idleMs = since && Date.now() - since.getTime()
    if (idleMs === undefined || (known.pulsedAt !== undefined && now - known.pulsedAt > idleMs)) delete known.pulsedAt
    const ago = (at: number | undefined) => (at === undefined ? undefined : now - at)
    return {
      id: vm.id,
      name: vm.name,
      maximum: balloon.maximumBytes,
      balloon: balloon.bytes,
      guest: known.deafAt === undefined ? guestOf(known, balloon) : undefined,
      idleMs,
      pinned: vm.sleepAfter === 0,
      busy: isTaken,
      unused: known.unused ?? 0,
      past: { squeezedMs: ago(known.squeeze?.at), neededMs: ago(known.neededAt), pulsedMs: ago(known.pulsedAt) },
    }
  }

  /** @param reason how the box stands @param say tells of it */
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

  /** A pulse has begun: the VM gives back what it has no use for. */
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

/** What a guest has reported, if that was a short time ago. */
function guestOf(known: Known, balloon: NonNullable<VmStats['balloon']>): VmMemory['guest'] {
  const { saidAt, majorFaults, usableBytes, cachesBytes: caches } = balloon
  // A report from the future is from before the clock was set back.
  if (usableBytes === undefined || Math.abs(Date.now() - saidAt * 1000) > staleMs) return undefined
  const { said } = known
  if (said?.at !== saidAt) {
    const perS = said && saidAt > said.at ? Math.max(0, majorFaults - said.faults) / (saidAt - said.at) : 0
    known.said = { at: saidAt, faults: majorFaults, perS }
  }
  return { usable: usableBytes, caches, majorFaultsPerS: known.said!.perS }
}

/** Squeezes a VM for a moment, unless somebody needs it: what it has freed then belongs to the box. @param to bytes, of so many */
export async function pulse(box: Box, vm: Vm, to: number, of: number): Promise<void> {
  try {
    await box.locks.runPreemptible([vm.id], (signal) =>
      box.hypervisor.pulse(vm.uuid, Math.ceil(to / MiB), Math.floor(of / MiB), pulseMs, signal),
    )
  } catch (err) {
    box.log.warn({ vm: vm.id, err }, 'could not have it give back memory')
  }
}
