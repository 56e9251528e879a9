import { setTimeout as delay } from 'node:timers/promises'
import type { Box } from '../core/box.ts'
import { stateOf, vmsOf } from '../core/box.ts'
import type { Level, MemoryGovernor, Resource } from '../core/interfaces/governor.ts'
import type { VmStats } from '../core/interfaces/hypervisor.ts'
import type { Pressure } from '../core/interfaces/metrics.ts'
import { idleSince } from '../core/sleep/idle.ts'
import { putToSleep } from '../core/sleep/sleep.ts'
import { systemEntry } from '../core/vm/system-entry.ts'
import { CroftError } from '../lib/error.ts'
import { repeat } from '../lib/interval.ts'
import { bytes } from '../lib/units.ts'
import type { Vm } from '../store/index.ts'
import { type BoxMemory, type GovernorAction, levelOf, levelReason, planActions, type VmMemory } from './decide.ts'
import { type BoxLoad, isBusy, type NoisyNeighbour, noisyNeighbours, rateOf } from './noisy-neighbours.ts'

/** How often the box is looked at, and its VMs while there is plenty. */
const lookMs = 2_000
const vmsMs = 10_000
/** How long whoever wants one more VM waits for room, and what he then has to find at least. */
const patienceMs = 10_000
const oneMoreBytes = 256 * 2 ** 20
/** A guest says so often what it uses: always, and while it has given some of it up. */
const statsS = { idle: 10, squeezed: 2 }
/** What it said longer ago says nothing. */
const staleMs = 30_000
/** A balloon that has not begun to fill for so long is not there. For how long it is then not asked again. */
const deafMs = 20_000
const deafAgainMs = 10 * 60_000
const pulseMs = 60_000
/** What VMs take is averaged over so long at least. One that has been named stays so for a while. */
const rateMs = 5_000
/** VMs are looked at more often when a CPU is waited for more than that. */
const waitedPercent = 10
/** What a VM that computes gets of CPUs that are short, beside one that wants little. */
const busyWeight = 1 / 8
const heavyMs = 30_000
const MiB = 2 ** 20

interface Squeeze {
  at: number
  /** Bytes that it has, and of how many. */
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
  /** What its guest said last: when, by libvirt's clock in seconds, and how many major faults it had had. */
  said?: { at: number; faults: number; perS: number }
  /** What libvirt had counted of it when it was last looked at. */
  counted?: { at: number; stats: VmStats }
  /** It computes, and comes after those that want little of the CPUs. */
  busy?: boolean
  /** It takes so much that others wait; when that was last so. */
  heavy?: NoisyNeighbour & { at: number }
}

/** Shares the box's memory among its VMs: looks, decides (decide.ts), and does it. Names those that take much (heavy.ts). */
export class Governor implements MemoryGovernor {
  readonly #readBox: () => Promise<BoxMemory>
  readonly #readPressure: () => Promise<Pressure>
  readonly #known = new Map<string, Known>()
  readonly #weightListeners = new Set<(vm: Vm) => void>()
  #level: Level = 'plenty'
  #reason = ''
  /** Bytes that VMs which are about to run will take. */
  #expected = 0
  #vmsAt = Number.NEGATIVE_INFINITY
  /** What takes its time, and of which there is one at a time. */
  #under: { id: string; what: string; why: string } | undefined

  constructor(readBox: () => Promise<BoxMemory>, readPressure: () => Promise<Pressure>) {
    this.#readBox = readBox
    this.#readPressure = readPressure
  }

  /** Begins. @param stats what VMs take now, by UUID @returns ends it: all VMs have all of their memory then */
  start(box: Box, stats: () => Promise<ReadonlyMap<string, VmStats>>): () => Promise<void> {
    const stop = repeat(lookMs, 'look after the memory of the box', box.log, () => this.#look(box, stats))
    return async () => {
      stop()
      await Promise.allSettled(
        [...this.#known].map(async ([id, { squeeze }]) => {
          const vm = box.store.state.vms[id]
          if (squeeze && vm) await box.hypervisor.setBalloon(vm.uuid, squeeze.of, statsS.idle)
        }),
      )
    }
  }

  now(): { level: Level; reason: string } {
    return { level: this.#level, reason: this.#reason }
  }

  of(id: string): { what: string; why: string } | undefined {
    const under = this.#under
    if (under?.id === id) return { what: under.what, why: under.why }
    const { squeeze, heavy } = this.#known.get(id) ?? {}
    if (heavy) return { what: heavy.what, why: heavy.why }
    return squeeze && { what: `held to ${bytes(squeeze.to)}`, why: squeeze.why }
  }

  heavyOn(id: string): Resource | undefined {
    return this.#known.get(id)?.heavy?.resource
  }

  weightOf(id: string): number {
    return this.#known.get(id)?.busy ? busyWeight : 1
  }

  watchWeights(listener: (vm: Vm) => void): () => void {
    this.#weightListeners.add(listener)
    return () => this.#weightListeners.delete(listener)
  }

  admit<T>(name: string, work: () => Promise<T>): Promise<T> {
    return this.lend(name, oneMoreBytes, work)
  }

  async lend<T>(name: string, bytes: number, work: () => Promise<T>): Promise<T> {
    if (bytes > 0) await this.#room(name, bytes)
    return this.expect(bytes, work)
  }

  async expect<T>(bytes: number, work: () => Promise<T>): Promise<T> {
    this.#expected += bytes
    try {
      return await work()
    } finally {
      this.#expected -= bytes
    }
  }

  reclaim(id: string, bytes: number): void {
    this.#knownOf(id).unused = bytes
  }

  async #room(name: string, wanted: number): Promise<void> {
    const late = performance.now() + patienceMs
    for (;;) {
      const { total, available, reserve } = await this.#readBox()
      const room = available - reserve - this.#expected
      if (room >= wanted) return
      if (performance.now() > late)
        throw new CroftError(
          'no-room',
          `There is no memory for ${name}: of ${bytes(total)} the box has ${bytes(Math.max(0, room))} left for VMs, and it wants ${bytes(wanted)}.`,
          { hint: 'See who has most, and put to sleep or stop what is not needed: croft top --sort memory' },
        )
      await delay(lookMs / 4)
    }
  }

  async #look(box: Box, stats: () => Promise<ReadonlyMap<string, VmStats>>): Promise<void> {
    const [memory, pressure] = await Promise.all([this.#readBox(), this.#readPressure()])
    this.#stand(box, memory)
    const known = [...this.#known.values()]
    const isDue = known.some(({ squeeze, unused }) => squeeze || unused)
    const quiet = this.#level === 'plenty' && !isDue && (pressure.cpu ?? 0) <= waitedPercent
    if (box.hypervisor.trouble() || (quiet && performance.now() - this.#vmsAt < vmsMs)) return
    this.#vmsAt = performance.now()
    const found = await stats()
    const vms = this.#readVms(box, found)
    this.#weigh(box, { memoryBytes: memory.total, pressure }, found)
    for (const deed of planActions(memory, this.#level, vms)) await this.#act(box, deed)
  }

  #stand(box: Box, memory: BoxMemory): void {
    const before = this.#level
    this.#level = levelOf(memory, before)
    this.#reason = levelReason(memory)
    if (this.#level === before) return
    box.log.info({ level: this.#level, before, ...memory }, 'the memory of the box')
    box.events.publish({ type: 'box.memory', level: this.#level, message: this.#reason })
    if (before === 'plenty' || this.#level === 'plenty') box.spares.refresh()
  }

  /** Has those that want little of the CPUs come before those that compute, and says once who takes so much that others wait. */
  #weigh(
    box: Box,
    { memoryBytes, pressure }: Pick<BoxLoad, 'memoryBytes' | 'pressure'>,
    all: ReadonlyMap<string, VmStats>,
  ): void {
    const at = performance.now()
    const awake = vmsOf(box.store.state).filter((vm) => this.#known.has(vm.id))
    const rates = awake.flatMap(({ id, uuid }) => {
      const known = this.#knownOf(id)
      const [stats, before] = [all.get(uuid), known.counted]
      if (!stats || (before && at - before.at < rateMs)) return []
      known.counted = { at, stats }
      return before ? [rateOf(id, before.stats, stats, (at - before.at) / 1000)] : []
    })
    if (rates.length === 0) return
    const load = { cpus: box.settings.most.cpus, memoryBytes, isTight: this.#level !== 'plenty', pressure }
    const heavy = noisyNeighbours(load, rates)
    for (const rate of rates) {
      const vm = box.store.state.vms[rate.id]!
      const known = this.#knownOf(vm.id)
      const now = heavy.get(vm.id)
      const before = known.busy === true
      known.busy = isBusy(rate.wantedCpus, before)
      if (known.busy !== before) for (const listener of this.#weightListeners) listener(vm)
      if (now && !known.heavy) {
        say(box, vm, `${now.what}: ${now.why}`, 'vm.heavy')
        void box.activity.note(systemEntry(vm, `it ${now.what}: ${now.why}`))
      }
      if (now) known.heavy = { ...now, at }
      else if (known.heavy && at - known.heavy.at > heavyMs) delete known.heavy
    }
  }

  #readVms(box: Box, stats: ReadonlyMap<string, VmStats>): VmMemory[] {
    const vms = vmsOf(box.store.state).filter((vm) => stateOf(box, vm) === 'awake')
    const there = new Set(vms.map(({ id }) => id))
    for (const id of this.#known.keys()) if (!there.has(id)) this.#known.delete(id)
    return vms.flatMap((vm) => {
      const of = stats.get(vm.uuid)
      return of?.balloon ? [this.#readVm(box, vm, of.balloon)] : []
    })
  }

  #readVm(box: Box, vm: Vm, balloon: NonNullable<VmStats['balloon']>): VmMemory {
    const now = performance.now()
    const known = this.#knownOf(vm.id)
    const { squeeze } = known
    if (squeeze && now - squeeze.at > deafMs && balloon.bytes >= balloon.maximumBytes && known.deafAt === undefined) {
      known.deafAt = now
      delete known.squeeze
      box.log.warn({ vm: vm.id }, 'its balloon does not fill')
    }
    if (known.deafAt !== undefined && now - known.deafAt > deafAgainMs) delete known.deafAt
    // What computes is used, also if it has not been for long enough to count as used.
    const since = known.busy ? undefined : idleSince(box, vm)
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
      busy: box.locks.isHeld(vm.id) || this.#under?.id === vm.id,
      unused: known.unused ?? 0,
      past: { squeezedMs: ago(known.squeeze?.at), neededMs: ago(known.neededAt), pulsedMs: ago(known.pulsedAt) },
    }
  }

  #knownOf(id: string): Known {
    const known = this.#known.get(id) ?? {}
    this.#known.set(id, known)
    return known
  }

  async #act(box: Box, deed: GovernorAction): Promise<void> {
    const vm = box.store.state.vms[deed.id]
    if (!vm) return
    const known = this.#knownOf(vm.id)
    switch (deed.type) {
      case 'release':
        await box.hypervisor.setBalloon(vm.uuid, deed.to, statsS.idle)
        if (deed.needed) known.neededAt = performance.now()
        if (known.squeeze) say(box, vm, `has all of its memory again: ${deed.why}`)
        delete known.squeeze
        return
      case 'squeeze': {
        const again = known.squeeze
        await box.hypervisor.setBalloon(vm.uuid, deed.to, statsS.squeezed)
        known.squeeze = { at: again?.at ?? performance.now(), to: deed.to, of: deed.of, why: deed.why }
        if (!again) say(box, vm, `is held to ${bytes(deed.to)} of memory, as the box has ${this.#reason}; ${deed.why}`)
        return
      }
      case 'pulse':
        if (!this.#during(deed, 'gives back memory', () => pulse(box, vm, deed.to, deed.of))) return
        if (known.unused) delete known.unused
        else known.pulsedAt = performance.now()
        return
      case 'sleep':
        this.#during(deed, 'goes to sleep', () => sleep(box, vm, deed.why))
    }
  }

  /** Begins what takes its time, if nothing of that kind is under way. @returns whether it has begun */
  #during({ id, why }: GovernorAction, what: string, work: () => Promise<void>): boolean {
    if (this.#under) return false
    this.#under = { id, what, why }
    void work().finally(() => {
      this.#under = undefined
    })
    return true
  }
}

/** What a guest says, if it said it a short time ago. */
function guestOf(known: Known, balloon: NonNullable<VmStats['balloon']>): VmMemory['guest'] {
  const { saidAt, majorFaults, usableBytes, cachesBytes: caches } = balloon
  // What was said later than now was said before the clock was set back.
  if (usableBytes === undefined || Math.abs(Date.now() - saidAt * 1000) > staleMs) return undefined
  const { said } = known
  if (said?.at !== saidAt) {
    const perS = said && saidAt > said.at ? Math.max(0, majorFaults - said.faults) / (saidAt - said.at) : 0
    known.said = { at: saidAt, faults: majorFaults, perS }
  }
  return { usable: usableBytes, caches, majorFaultsPerS: known.said!.perS }
}

const say = (box: Box, { id, name }: Vm, what: string, type: 'vm.memory' | 'vm.heavy' = 'vm.memory'): void =>
  box.events.publish({ type, vm: id, name, message: `${name} ${what}.` })

async function pulse(box: Box, vm: Vm, to: number, of: number): Promise<void> {
  try {
    await box.locks.runPreemptible([vm.id], (wanted) =>
      box.hypervisor.pulse(vm.uuid, Math.ceil(to / MiB), Math.floor(of / MiB), pulseMs, wanted),
    )
  } catch (err) {
    box.log.warn({ vm: vm.id, err }, 'could not have it give back memory')
  }
}

async function sleep(box: Box, vm: Vm, why: string): Promise<void> {
  const isIdle = () => {
    const now = box.store.state.vms[vm.id]
    return now !== undefined && idleSince(box, now) !== undefined
  }
  try {
    await putToSleep(box, vm.id, () => {}, isIdle)
    if (stateOf(box, box.store.state.vms[vm.id] ?? vm) !== 'asleep') return
    say(box, vm, `is asleep: ${why}`)
    await box.activity.note(systemEntry(vm, `put it to sleep: ${why}`))
  } catch (err) {
    box.usage.note(vm.id, 'it could not be put to sleep')
    box.log.warn({ vm: vm.id, err }, 'could not be put to sleep')
  }
}
