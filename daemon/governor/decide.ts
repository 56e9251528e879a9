import { type Level, levels } from '../core/interfaces/governor.ts'
import { bytes } from '../lib/text/units.ts'

/** The memory of the box, in bytes. */
export interface BoxMemory {
  total: number
  /** The kernel's MemAvailable: what can be allocated without swapping. */
  available: number
  /** What is reserved for the box itself. */
  reserve: number
  /**
   * Percent of the last 10 s in which some or all tasks waited for memory; null where the kernel does not report it.
   */
  some: number | null
  full: number | null
}

/** A VM that may be put to sleep. */
export interface Sleeper {
  id: string
  name: string
  /** How long the VM has been idle, in ms; undefined while it is in use. */
  idleMs: number | undefined
  /** Whether its owner has set it never to sleep. */
  pinned: boolean
  /** Whether an operation holds the VM, so that the governor must leave it alone. */
  busy: boolean
  /** What the box gains when the VM sleeps: without the pages that other VMs have as well. */
  ownBytes: number
}

/** The memory of a running VM, in bytes. */
export interface VmMemory extends Sleeper {
  /** All of its memory, and the part that its balloon leaves it. */
  maximum: number
  balloon: number
  /**
   * What its guest reports: the memory that it could still use without swapping, how much of that is page cache, and
   * the rate of major page faults since the last report. Undefined when there is no recent report.
   */
  guest: { usable: number; caches: number; majorFaultsPerS: number } | undefined
  /** Bytes that the VM holds but does not use: saving its memory allocated them. */
  unused: number
  past: Past
}

/** How long ago each action was last taken on a VM, in ms; undefined when not since this daemon started. */
export interface Past {
  squeezedMs?: number | undefined
  /** When its memory was given back because its guest needed it. */
  neededMs?: number | undefined
  /** When it was pulsed; undefined once it has been used again. */
  pulsedMs?: number | undefined
}

export type GovernorAction = {
  id: string
  name: string
  why: string
} /** `to`: all of its memory, in bytes. `needed`: because its guest needs it. */ & (
  | { type: 'release'; to: number; needed: boolean }
  /** `to`: bytes to leave the VM, out of `of`, all of its memory. A squeeze lasts; a pulse is for a moment. */
  | { type: 'squeeze'; to: number; of: number }
  | { type: 'pulse'; to: number; of: number }
  | { type: 'sleep' }
)

const MiB = 2 ** 20
/** The level is `tight`, `short` or `none` when less than this part of the box's memory is free beyond the reserve. */
const marks: Record<Exclude<Level, 'plenty'>, number> = { tight: 0.1, short: 0.04, none: 0.01 }
/** Hysteresis: a level ends only when there is this many times as much free memory as where it begins. */
const leaving = 1.5
/**
 * Memory pressure in percent above which the level is `tight` (`some`) or `short` (`full`), however much seems free.
 */
const waits = { some: 10, full: 10 }

/** The least that a guest is left beyond what it uses: the larger of a part of its use and a number of bytes. */
const spare = { part: 0.125, bytes: 64 * MiB }
const leastBytes = 192 * MiB
/** The least gains for which a squeeze, a pulse or a sleep is worthwhile. */
const worthBytes = 32 * MiB
const pulseWorthBytes = 96 * MiB
/** A guest needs its memory when it has less usable memory than this, or more major page faults. */
const need = { bytes: 48 * MiB, part: 0.08, majorFaultsPerS: 20 }

const holdMs = 30_000
const spareAgainMs = 5 * 60_000
const pulseIdleMs = 5 * 60_000
/** How long a VM must be idle to be put to sleep: less when no VM can be admitted. */
const sleepIdleMs = { short: 60_000, none: 10_000 }

/** Returns the box's level of memory pressure. Pure. @param before the previous level */
export function levelOf(box: BoxMemory, before: Level): Level {
  const room = box.available - box.reserve
  const rank = (level: Level) => levels.indexOf(level)
  const isUnder = (level: Exclude<Level, 'plenty'>) =>
    room < box.total * marks[level] * (rank(before) >= rank(level) ? leaving : 1)
  if (isUnder('none')) return 'none'
  if (isUnder('short') || (box.full ?? 0) > waits.full) return 'short'
  return isUnder('tight') || (box.some ?? 0) > waits.some ? 'tight' : 'plenty'
}

/** Returns the reason for the level, worded as the middle of a sentence. Pure. */
export function levelReason({ total, available, reserve, some, full }: BoxMemory): string {
  const room = `${bytes(Math.max(0, available - reserve))} of ${bytes(total)} left for VMs`
  const waited = full !== null && full > waits.full ? full : some !== null && some > waits.some ? some : undefined
  return waited === undefined ? room : `${room}, and memory waited for ${Math.round(waited)} % of the time`
}

/**
 * Returns the actions to take now on the running VMs, so that all have the memory that they need. Pure. A guest gets
 * its memory back as soon as it needs the memory, or when nobody else does. Only memory that a guest does not use is
 * taken, in proportion to what each guest can give, and never its working set. VMs that doze are put to sleep first,
 * some already when memory is tight: a guest that stands still can't give back what it does not use.
 */
export function planActions(
  box: BoxMemory,
  level: Level,
  vms: readonly VmMemory[],
  dozing: readonly Sleeper[] = [],
): GovernorAction[] {
  const free = vms.filter((vm) => !vm.busy)
  const releases = free.flatMap((vm) => release(vm, level))
  const released = new Set(releases.map(({ id }) => id))
  const others = free.filter(({ id }) => !released.has(id))
  const pulse = [...reclaims(others), ...(level === 'plenty' ? pulses(others) : [])].slice(0, 1)
  if (level === 'plenty') return [...releases, ...pulse]
  const asleep = (
    level === 'tight' ? sleeps(dozing, pulseIdleMs) : [...sleeps(dozing, 0), ...sleeps(others, sleepIdleMs[level])]
  ).slice(0, 1)
  const left = others.filter(({ id }) => asleep[0]?.id !== id && pulse[0]?.id !== id)
  return [...releases, ...asleep, ...pulse, ...squeezes(box, left)]
}

/** Returns how much memory a guest uses: all except what is usable for something else. Pure. */
export const usedBytes = ({ balloon, guest }: Pick<VmMemory, 'balloon' | 'guest'>): number =>
  balloon - (guest?.usable ?? 0)

/** Returns the least memory to leave a guest: what it uses, plus a margin. Pure. */
export function floorBytes(vm: VmMemory): number {
  const used = usedBytes(vm)
  return Math.min(vm.maximum, Math.max(leastBytes, used + Math.max(spare.bytes, used * spare.part)))
}

/**
 * Returns how much memory the box gains when a guest is left `to` bytes. The guest first gives up its free memory,
 * which gains the box nothing, and then its page cache. Pure.
 */
const gainBytes = (vm: VmMemory, to: number): number =>
  Math.max(0, Math.min(vm.guest?.caches ?? 0, usedBytes(vm) + (vm.guest?.caches ?? 0) - to))

function release(vm: VmMemory, level: Level): GovernorAction[] {
  if (vm.balloon >= vm.maximum) return []
  const { id, name, guest, past } = vm
  const give = (why: string, needed = false): GovernorAction[] => [
    { type: 'release', id, name, why, needed, to: vm.maximum },
  ]
  if (past.squeezedMs === undefined) return give('there is no reason to hold it back')
  if (!guest) return give('its guest does not report how much memory it needs')
  if (guest.usable < Math.max(need.bytes, vm.balloon * need.part) || guest.majorFaultsPerS > need.majorFaultsPerS)
    return give('its guest needs it', true)
  return level === 'plenty' && past.squeezedMs > holdMs ? give('there is enough again') : []
}

function squeezes(box: BoxMemory, vms: readonly VmMemory[]): GovernorAction[] {
  const wanted = box.total * marks.tight * leaving - (box.available - box.reserve)
  const givers = vms.flatMap((vm) => {
    if (!vm.guest || (vm.past.neededMs ?? Number.POSITIVE_INFINITY) < spareAgainMs) return []
    const gives = gainBytes(vm, floorBytes(vm))
    return gives >= worthBytes ? [{ vm, gives }] : []
  })
  const all = givers.reduce((sum, { gives }) => sum + gives, 0)
  if (wanted <= 0 || all === 0) return []
  return givers.flatMap(({ vm, gives }): GovernorAction[] => {
    const { id, name, maximum: of, guest } = vm
    const taken = Math.min(gives, (wanted * gives) / all)
    const why = `it holds ${bytes(guest!.caches)} of files in memory`
    return taken < worthBytes ? [] : [{ type: 'squeeze', id, name, to: usedBytes(vm) + guest!.caches - taken, of, why }]
  })
}

function pulses(vms: readonly VmMemory[]): GovernorAction[] {
  return vms
    .flatMap((vm) => {
      if (!vm.guest || vm.balloon < vm.maximum || vm.past.pulsedMs !== undefined) return []
      if (vm.idleMs === undefined || vm.idleMs < pulseIdleMs) return []
      const to = floorBytes(vm)
      const gives = gainBytes(vm, to)
      return gives > pulseWorthBytes ? [{ vm, to, gives }] : []
    })
    .sort((a, b) => b.gives - a.gives)
    .map(({ vm: { id, name, maximum: of }, to }) => ({ type: 'pulse', id, name, to, of, why: 'nobody uses it' }))
}

/** Pulses VMs for memory that saving allocated: it is free in the guest, which gives it up and keeps its page cache. */
function reclaims(vms: readonly VmMemory[]): GovernorAction[] {
  return vms
    .filter(({ guest, balloon, maximum, unused }) => guest && balloon >= maximum && unused > pulseWorthBytes)
    .sort((a, b) => b.unused - a.unused)
    .map((vm): GovernorAction => {
      const to = Math.min(vm.maximum, usedBytes(vm) + vm.guest!.caches + spare.bytes)
      return {
        type: 'pulse',
        id: vm.id,
        name: vm.name,
        to,
        of: vm.maximum,
        why: 'saving it allocated memory that it does not use',
      }
    })
}

function sleeps(vms: readonly Sleeper[], leastMs: number): GovernorAction[] {
  return vms
    .filter(
      ({ pinned, busy, idleMs, ownBytes }) => !pinned && !busy && (idleMs ?? 0) >= leastMs && ownBytes >= worthBytes,
    )
    .sort((a, b) => b.idleMs! - a.idleMs!)
    .map(({ id, name }) => ({ type: 'sleep', id, name, why: 'nobody uses it, and the box is short of memory' }))
}
