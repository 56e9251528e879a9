import { type Level, levels } from '../core/interfaces/governor.ts'
import { bytes } from '../lib/units.ts'

/** What the box has, in bytes. */
export interface BoxMemory {
  total: number
  /** What can be had without anybody being worse off: the kernel's MemAvailable. */
  available: number
  /** What is kept for the box itself. */
  reserve: number
  /** Percent of the last 10 s in which something, or everything, waited for memory; nulls where the kernel does not tell. */
  some: number | null
  full: number | null
}

/** A VM that runs, in bytes. */
export interface VmMemory {
  id: string
  name: string
  /** All that it may have, and what its balloon leaves it of that. */
  maximum: number
  balloon: number
  /**
   * What its guest says: how much it could still use without a swap, how much of that are files that it holds in memory,
   * and how often a page had to be read from disk since it was last asked. Undefined when it says nothing.
   */
  guest: { usable: number; caches: number; majorFaultsPerS: number } | undefined
  /** For how long nobody has used it, in ms; undefined while somebody does. */
  idleMs: number | undefined
  /** Its owner wants it awake whatever happens. */
  pinned: boolean
  /** Something is under way with it: it is left alone. */
  busy: boolean
  /** Bytes of the box that it has and has no use for: saving its memory took them. */
  unused: number
  past: Past
}

/** What was done to a VM before, in ms since then; undefined: not since this daemon began. */
export interface Past {
  squeezedMs?: number | undefined
  /** It was given its memory back because it needed it. */
  neededMs?: number | undefined
  /** It was pulsed, and nobody has used it since. */
  pulsedMs?: number | undefined
}

export type GovernorAction = {
  id: string
  name: string
  why: string
} /** To all of its memory, in bytes; `needed`: because its guest needs it. */ & (
  | { type: 'release'; to: number; needed: boolean }
  /** To so many bytes, of those that are all of its memory: for now, or for a moment. */
  | { type: 'squeeze'; to: number; of: number }
  | { type: 'pulse'; to: number; of: number }
  | { type: 'sleep' }
)

const MiB = 2 ** 20
/** Parts of the box's memory, beyond its reserve: with less than that in room it is tight, and so on. */
const marks: Record<Exclude<Level, 'plenty'>, number> = { tight: 0.1, short: 0.04, none: 0.01 }
/** A level is left when there is so much more room than it begins at: it does not come and go. */
const leaving = 1.5
/** Percent of time waited for memory from which it is tight, or short, however much seems to be there. */
const waits = { some: 10, full: 10 }

/** What a guest is left at least, beyond what it uses: part of that, or bytes. */
const spare = { part: 0.125, bytes: 64 * MiB }
const leastBytes = 192 * MiB
/** What is worth the trouble. */
const worthBytes = 32 * MiB
const pulseWorthBytes = 96 * MiB
/** A guest with less to use than that, or that reads its pages from disk so often, needs its memory. */
const need = { bytes: 48 * MiB, part: 0.08, majorFaultsPerS: 20 }

const holdMs = 30_000
const spareAgainMs = 5 * 60_000
const pulseIdleMs = 5 * 60_000
/** From when on an idle VM is put to sleep: sooner when nobody can be let in. */
const sleepIdleMs = { short: 60_000, none: 10_000 }

/** How the box stands. Pure. @param before how it stood */
export function levelOf(box: BoxMemory, before: Level): Level {
  const room = box.available - box.reserve
  const rank = (level: Level) => levels.indexOf(level)
  const isUnder = (level: Exclude<Level, 'plenty'>) =>
    room < box.total * marks[level] * (rank(before) >= rank(level) ? leaving : 1)
  if (isUnder('none')) return 'none'
  if (isUnder('short') || (box.full ?? 0) > waits.full) return 'short'
  return isUnder('tight') || (box.some ?? 0) > waits.some ? 'tight' : 'plenty'
}

/** In a sentence's middle, why it stands so. Pure. */
export function levelReason({ total, available, reserve, some, full }: BoxMemory): string {
  const room = `${bytes(Math.max(0, available - reserve))} of ${bytes(total)} left for VMs`
  const waited = full !== null && full > waits.full ? full : some !== null && some > waits.some ? some : undefined
  return waited === undefined ? room : `${room}, and memory waited for ${Math.round(waited)} % of the time`
}

/**
 * What is to be done now to the VMs that run, so that all have what they need. Pure.
 * A guest's memory is given back as soon as it needs it, or nobody else does; what is taken is what it does not use, from
 * those with most to give, and never what it works with.
 */
export function planActions(box: BoxMemory, level: Level, vms: readonly VmMemory[]): GovernorAction[] {
  const free = vms.filter((vm) => !vm.busy)
  const releases = free.flatMap((vm) => release(vm, level))
  const released = new Set(releases.map(({ id }) => id))
  const others = free.filter(({ id }) => !released.has(id))
  const pulse = [...reclaims(others), ...(level === 'plenty' ? pulses(others) : [])].slice(0, 1)
  if (level === 'plenty') return [...releases, ...pulse]
  const asleep = level === 'tight' ? [] : sleeps(others, sleepIdleMs[level]).slice(0, 1)
  const left = others.filter(({ id }) => asleep[0]?.id !== id && pulse[0]?.id !== id)
  return [...releases, ...asleep, ...pulse, ...squeezes(box, left)]
}

/** What a guest uses of its memory: all but what it could do without. Pure. */
export const usedBytes = ({ balloon, guest }: Pick<VmMemory, 'balloon' | 'guest'>): number =>
  balloon - (guest?.usable ?? 0)

/** The least that a guest is left: what it uses, and some air. Pure. */
export function floorBytes(vm: VmMemory): number {
  const used = usedBytes(vm)
  return Math.min(vm.maximum, Math.max(leastBytes, used + Math.max(spare.bytes, used * spare.part)))
}

/**
 * What the box would have of a guest that is left so much: it gives up what is free first, which costs the box nothing,
 * and then files that it holds in memory. Pure.
 */
const gainBytes = (vm: VmMemory, to: number): number =>
  Math.max(0, Math.min(vm.guest?.caches ?? 0, usedBytes(vm) + (vm.guest?.caches ?? 0) - to))

function release(vm: VmMemory, level: Level): GovernorAction[] {
  if (vm.balloon >= vm.maximum) return []
  const { id, name, guest, past } = vm
  const give = (why: string, needed = false): GovernorAction[] => [
    { type: 'release', id, name, why, needed, to: vm.maximum },
  ]
  if (past.squeezedMs === undefined) return give('nothing takes it')
  if (!guest) return give('its guest does not say how much it needs')
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

/** What saving took is free in the guest, so it gives that up for a moment, and keeps the files that it holds. */
function reclaims(vms: readonly VmMemory[]): GovernorAction[] {
  return vms
    .filter(({ guest, balloon, maximum, unused }) => guest && balloon >= maximum && unused > pulseWorthBytes)
    .sort((a, b) => b.unused - a.unused)
    .map((vm): GovernorAction => {
      const to = Math.min(vm.maximum, usedBytes(vm) + vm.guest!.caches + spare.bytes)
      return { type: 'pulse', id: vm.id, name: vm.name, to, of: vm.maximum, why: 'saving its memory took it' }
    })
}

function sleeps(vms: readonly VmMemory[], leastMs: number): GovernorAction[] {
  return vms
    .filter(({ pinned, idleMs }) => !pinned && idleMs !== undefined && idleMs >= leastMs)
    .sort((a, b) => b.idleMs! - a.idleMs!)
    .map(({ id, name }) => ({ type: 'sleep', id, name, why: 'nobody uses it, and the box is short of memory' }))
}
