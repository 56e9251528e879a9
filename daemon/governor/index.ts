import { noteStay } from '../core/appointment/inquire.ts'
import { type Box, stateOf, vmsOf } from '../core/box.ts'
import type { Level, MemoryGovernor, MemoryPressure, Resource } from '../core/interfaces/governor.ts'
import type { VmStats } from '../core/interfaces/hypervisor.ts'
import type { Pressure } from '../core/interfaces/metrics.ts'
import { idleSince } from '../core/sleep/idle.ts'
import { putToSleep } from '../core/sleep/sleep.ts'
import type { VmState } from '../core/vm/state.ts'
import { systemEntry } from '../core/vm/system-entry.ts'
import { repeat } from '../lib/async/interval.ts'
import { bytes } from '../lib/text/units.ts'
import type { Vm } from '../store/index.ts'
import { Admission } from './admission.ts'
import { Balloons, pulseVm } from './balloons.ts'
import { CpuWeights } from './cpu-weights.ts'
import {
  type BoxMemory,
  type GovernorAction,
  levelOf,
  levelReason,
  planActions,
  type Sleeper,
  type VmMemory,
} from './decide.ts'

/** How often the governor checks the box, and how often the VMs while the box has plenty of memory. */
const lookMs = 2_000
const vmsMs = 10_000
/** CPU pressure in percent above which the governor checks the VMs each time that it checks the box. */
const waitedPercent = 10

/**
 * Shares the resources of the box among its VMs: measures, decides (decide.ts) and acts. Admission, balloons and CPU
 * weights each have a file of their own.
 */
export class Governor implements MemoryGovernor {
  readonly #readBox: () => Promise<BoxMemory>
  readonly #readPressure: () => Promise<Pressure>
  readonly #admission: Admission
  readonly #balloons = new Balloons()
  readonly #weights = new CpuWeights()
  #level: Level = 'plenty'
  #reason = ''
  #vmsAt = Number.NEGATIVE_INFINITY
  /** The one slow action that is running: a pulse, or putting a VM to sleep. */
  #under: { id: string; what: string; why: string } | undefined

  constructor(readBox: () => Promise<BoxMemory>, readPressure: () => Promise<Pressure>) {
    this.#readBox = readBox
    this.#readPressure = readPressure
    this.#admission = new Admission(readBox)
  }

  /**
   * Starts governing.
   * @param stats returns the VMs' current usage, by UUID
   * @returns stops, and gives VMs all memory back
   */
  start(box: Box, stats: () => Promise<ReadonlyMap<string, VmStats>>): () => Promise<void> {
    const stop = repeat(lookMs, 'govern the memory of the box', box.log, () => this.#look(box, stats))
    return async () => {
      stop()
      await this.#balloons.release(box)
    }
  }

  now(): MemoryPressure {
    return { level: this.#level, reason: this.#reason }
  }

  of(id: string): { what: string; why: string } | undefined {
    const under = this.#under
    if (under?.id === id) return { what: under.what, why: under.why }
    const noisy = this.#weights.noisy(id)
    if (noisy) return { what: noisy.what, why: noisy.why }
    const squeeze = this.#balloons.squeezeOf(id)
    return squeeze && { what: `held to ${bytes(squeeze.to)}`, why: squeeze.why }
  }

  heavyOn(id: string): Resource | undefined {
    return this.#weights.noisyOn(id)
  }

  weightOf(id: string): number {
    return this.#weights.weightOf(id)
  }

  watchWeights(listener: (vm: Vm) => void): () => void {
    return this.#weights.watch(listener)
  }

  admit<T>(name: string, work: () => Promise<T>): Promise<T> {
    return this.#admission.admit(name, work)
  }

  lend<T>(name: string, bytes: number, work: () => Promise<T>): Promise<T> {
    return this.#admission.lend(name, bytes, work)
  }

  expect<T>(bytes: number, work: () => Promise<T>): Promise<T> {
    return this.#admission.expect(bytes, work)
  }

  reclaim(id: string, bytes: number): void {
    this.#balloons.unused(id, bytes)
  }

  async #look(box: Box, stats: () => Promise<ReadonlyMap<string, VmStats>>): Promise<void> {
    const [memory, pressure] = await Promise.all([this.#readBox(), this.#readPressure()])
    this.#setLevel(box, memory)
    const quiet = this.#level === 'plenty' && !this.#balloons.areDue && (pressure.cpu ?? 0) <= waitedPercent
    if (box.hypervisor.trouble() || (quiet && performance.now() - this.#vmsAt < vmsMs)) return
    this.#vmsAt = performance.now()
    const found = await stats()
    const those = (state: VmState) => vmsOf(box.store.state).filter((vm) => stateOf(box, vm) === state)
    const [awake, dozing] = [those('awake'), those('dozing')]
    this.#balloons.keep(new Set(awake.map(({ id }) => id)))
    const vms = awake.flatMap((vm) => this.#readVm(box, vm, found.get(vm.uuid)))
    // One that dozes is measured too, so that it no longer counts as busy when it goes on.
    const ids = new Set([...awake, ...dozing].map(({ id }) => id))
    const load = { memoryBytes: memory.total, isTight: this.#level !== 'plenty', pressure }
    this.#weights.weigh(box, load, ids, found, (vm, what) => say(box, vm, what, 'vm.heavy'))
    const sleepers = dozing.map((vm) => this.#sleeper(box, vm, idleSince(box, vm), found.get(vm.uuid)))
    for (const action of planActions(memory, this.#level, vms, sleepers)) await this.#act(box, action)
  }

  #setLevel(box: Box, memory: BoxMemory): void {
    const before = this.#level
    this.#level = levelOf(memory, before)
    this.#reason = levelReason(memory)
    if (this.#level === before) return
    box.log.info({ level: this.#level, before, ...memory }, 'the memory of the box')
    box.events.publish({ type: 'box.memory', level: this.#level, message: this.#reason })
    if (before === 'plenty' || this.#level === 'plenty') box.spares.refresh()
  }

  #readVm(box: Box, vm: Vm, stats: VmStats | undefined): VmMemory[] {
    if (!stats?.balloon) return []
    // A VM that computes is in use, even before it has computed for long enough to count as used.
    const since = this.#weights.isBusy(vm.id) ? undefined : idleSince(box, vm)
    return [this.#balloons.read(box, vm, stats.balloon, this.#sleeper(box, vm, since, stats))]
  }

  #sleeper(box: Box, { id, name, sleepAfter }: Vm, since: Date | undefined, stats: VmStats | undefined): Sleeper {
    return {
      id,
      name,
      idleMs: since && Date.now() - since.getTime(),
      pinned: sleepAfter === 0,
      busy: box.locks.isHeld(id) || this.#under?.id === id,
      ownBytes: stats?.ownBytes ?? Number.POSITIVE_INFINITY,
    }
  }

  async #act(box: Box, action: GovernorAction): Promise<void> {
    const vm = box.store.state.vms[action.id]
    // A balloon is not moved while its guest stands still.
    if (!vm || (action.type !== 'sleep' && stateOf(box, vm) !== 'awake')) return
    switch (action.type) {
      case 'release':
      case 'squeeze':
        return this.#balloons.act(box, vm, action, this.#reason, (each, what) => say(box, each, what))
      case 'pulse':
        if (this.#begin(action, 'gives back memory', () => pulseVm(box, vm, action.to, action.of)))
          this.#balloons.pulsed(vm.id)
        return
      case 'sleep':
        this.#begin(action, 'goes to sleep', () => sleep(box, vm, action.why))
    }
  }

  /** Starts a slow action, unless one is already running. @returns whether the action was started */
  #begin({ id, why }: GovernorAction, what: string, work: () => Promise<void>): boolean {
    if (this.#under) return false
    this.#under = { id, what, why }
    void work().finally(() => {
      this.#under = undefined
    })
    return true
  }
}

const say = (box: Box, { id, name }: Vm, what: string, type: 'vm.memory' | 'vm.heavy' = 'vm.memory'): void =>
  box.events.publish({ type, vm: id, name, message: `${name} ${what}.` })

async function sleep(box: Box, vm: Vm, why: string): Promise<void> {
  const isIdle = () => {
    const now = box.store.state.vms[vm.id]
    return now !== undefined && idleSince(box, now) !== undefined
  }
  try {
    await putToSleep(box, vm.id, () => {}, isIdle, { stays: (each, answer) => noteStay(box, each, answer, false) })
    if (stateOf(box, box.store.state.vms[vm.id] ?? vm) !== 'asleep') return
    say(box, vm, `is asleep: ${why}`)
    await box.activity.note(systemEntry(vm, `put it to sleep: ${why}`))
  } catch (err) {
    box.usage.note(vm.id, 'it could not be put to sleep')
    box.log.warn({ vm: vm.id, err }, 'could not put a VM to sleep')
  }
}
