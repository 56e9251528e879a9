import { type Box, vmsOf } from '../core/box.ts'
import type { Resource } from '../core/interfaces/governor.ts'
import type { VmStats } from '../core/interfaces/hypervisor.ts'
import { systemEntry } from '../core/vm/system-entry.ts'
import type { Vm } from '../store/index.ts'
import { type BoxLoad, isBusy, type NoisyNeighbour, noisyNeighbours, rateOf } from './noisy-neighbours.ts'

/** The shortest time over which a VM's usage is averaged. */
const rateMs = 5_000
/** How long a VM stays listed as a noisy neighbour after it last was one. */
const namedMs = 30_000
/** The CPU weight of a busy VM, relative to a VM that needs little CPU time. */
const busyWeight = 1 / 8

/** What is known about a VM. Times are `performance.now()`. */
interface Known {
  /** libvirt's counters when the VM was last measured. */
  counted?: { at: number; stats: VmStats }
  /** Whether the VM is busy, so that VMs that need little CPU time take precedence. */
  busy?: boolean
  /** What makes the VM a noisy neighbour, and when it last was one. */
  noisy?: NoisyNeighbour & { at: number }
}

/** Gives busy VMs a lower CPU weight than VMs that need little CPU time, and detects noisy neighbours. */
export class CpuWeights {
  readonly #known = new Map<string, Known>()
  readonly #listeners = new Set<(vm: Vm) => void>()

  isBusy = (id: string): boolean => this.#known.get(id)?.busy === true

  weightOf = (id: string): number => (this.isBusy(id) ? busyWeight : 1)

  /** Returns what makes a VM a noisy neighbour; undefined when it is none. */
  noisy = (id: string): NoisyNeighbour | undefined => this.#known.get(id)?.noisy

  noisyOn = (id: string): Resource | undefined => this.noisy(id)?.resource

  watch(listener: (vm: Vm) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /**
   * Measures the VMs and updates their weights.
   * @param awake ids of the VMs to measure; others are forgotten @param all libvirt's current counters, by UUID
   */
  weigh(
    box: Box,
    load: Omit<BoxLoad, 'cpus'>,
    awake: ReadonlySet<string>,
    all: ReadonlyMap<string, VmStats>,
    say: (vm: Vm, what: string) => void,
  ): void {
    for (const id of this.#known.keys()) if (!awake.has(id)) this.#known.delete(id)
    const at = performance.now()
    const rates = vmsOf(box.store.state).flatMap(({ id, uuid }) => {
      const stats = all.get(uuid)
      if (!awake.has(id) || !stats) return []
      const known = this.#knownOf(id)
      const before = known.counted
      if (before && at - before.at < rateMs) return []
      known.counted = { at, stats }
      return before ? [rateOf(id, before.stats, stats, (at - before.at) / 1000)] : []
    })
    if (rates.length === 0) return
    const found = noisyNeighbours({ ...load, cpus: box.settings.most.cpus }, rates)
    for (const rate of rates) {
      const vm = box.store.state.vms[rate.id]!
      const known = this.#knownOf(vm.id)
      const now = found.get(vm.id)
      const before = known.busy === true
      known.busy = isBusy(rate.wantedCpus, before)
      if (known.busy !== before) for (const listener of this.#listeners) listener(vm)
      if (now && !known.noisy) {
        say(vm, `${now.what}: ${now.why}`)
        void box.activity.note(systemEntry(vm, `it ${now.what}: ${now.why}`))
      }
      if (now) known.noisy = { ...now, at }
      else if (known.noisy && at - known.noisy.at > namedMs) delete known.noisy
    }
  }

  #knownOf(id: string): Known {
    const known = this.#known.get(id) ?? {}
    this.#known.set(id, known)
    return known
  }
}
