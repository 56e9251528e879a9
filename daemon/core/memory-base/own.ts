import type { Memory, MemoryBase, State } from '../../store/index.ts'
import type { Box } from '../box.ts'
import { collectGarbage } from '../layer/garbage.ts'
import { keepBase } from '../layer/holds.ts'
import { perBox } from '../per-box.ts'
import { isPassing, makeOwnBase } from './make.ts'

/** So many copies within the time below are often. */
const often = 2
const oftenMs = 30 * 60_000
/** How long a base is kept after its last use. */
const keptMs = 30 * 60_000
/** A VM's memory moves away from its base. */
const staleMs = 10 * 60_000

/** When copies were made, by what they were made from. */
const copies = perBox(() => new Map<string, number[]>())

/** What bases are being made of, by its id. */
const making = perBox(() => new Set<string>())

/** Returns the newest base that was made for copies of this VM, or of this memory. Pure. */
export function ownBaseOf(state: State, of: string): MemoryBase | undefined {
  return Object.values(state.memoryBases)
    .filter((base) => base.of === of)
    .toSorted((a, b) => a.createdAt.localeCompare(b.createdAt))
    .at(-1)
}

/**
 * Notes that a copy with memory was made. When that happens often, a memory base is made of that memory in the
 * background, so that the next copies share it.
 * @param of what it was made from, by its id: a VM that runs, whose memory changes; otherwise the memory itself
 * @param memory what the copy has
 * @returns resolves when the base is made or could not be; undefined when none is made
 */
export function noteCopy(box: Box, of: string, memory: Memory): Promise<void> | undefined {
  const now = performance.now()
  const base = ownBaseOf(box.store.state, of)
  const isFresh = base && (of === memory.id || Date.now() - Date.parse(base.createdAt) < staleMs)
  if (isFresh) {
    keepBase(box, base.id, keptMs)
    collectLater(box)
    return undefined
  }
  const times = [...(copies(box).get(of) ?? []).filter((at) => now - at < oftenMs), now]
  copies(box).set(of, times)
  if (times.length < often || making(box).has(of) || box.governor.now().level !== 'plenty') return undefined
  making(box).add(of)
  return makeOwnBase(box, memory, of, keptMs)
    .then(
      () => {
        copies(box).delete(of)
        collectLater(box)
      },
      (err) => {
        // The next copy tries again when there may be room for it by then.
        if (!isPassing(err)) copies(box).delete(of)
        box.log.warn({ of, err }, 'could not make a memory base for copies')
      },
    )
    .finally(() => making(box).delete(of))
}

/** Collects bases that have not been used again. */
function collectLater(box: Box): void {
  setTimeout(() => {
    collectGarbage(box).catch((err) => box.log.error({ err }, 'could not collect'))
  }, keptMs + 1000).unref()
}
