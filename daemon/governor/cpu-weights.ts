import { type Box, vmsOf } from '../core/box.ts'
import type { Resource } from '../core/interfaces/governor.ts'
import type { VmStats } from '../core/interfaces/hypervisor.ts'
import { systemEntry } from '../core/vm/system-entry.ts'
import type { Vm } from '../store/index.ts'
import { type BoxLoad, isBusy, type NoisyNeighbour, noisyNeighbours, rateOf } from './noisy-neighbours.ts'

/** What VMs take is averaged over at least so long. */
const rateMs = 5_000
/** How long a VM that has been named stays so. */
const namedMs = 30_000
/** What a VM that computes gets of CPUs that are short, beside one that wants little. */
const busyWeight = 1 / 8

/** What is remembered of a VM, by `performance.now()`. */
interface Known {
  /** What libvirt had counted of it when it was last looked at. */
  counted?: { at: number; stats: VmStats }
  /** It computes, and comes after those that want little of the CPUs. */
  busy?: boolean
  /** It takes so much that others wait, and when that was last so. */
  noisy?: NoisyNeighbour & { at: number }
}

/** Puts VMs that want little of the CPUs before those that compute, and names VMs that take so much that others wait. */
export class CpuWeights {
  readonly #known = new Map<string, Known>()
  readonly #listeners = new Set<(vm: Vm) => void>()

  isBusy = (id: string): boolean => this.#known.get(id)?.busy === true

  weightOf = (id: string): number => (this.isBusy(id) ? busyWeight : 1)

  /** What a VM takes so much of that others wait; undefined for nothing. */
  noisy = (id: string): NoisyNeighbour | undefined => this.#known.get(id)?.noisy

  noisyOn = (id: string): Resource | undefined => this.noisy(id)?.resource

  watch(listener: (vm: Vm) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** @param awake ids of the VMs to be looked at; others are forgotten @param all what VMs take now, by UUID */
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
