import type { Box } from '../box.ts'
import { perBox } from '../per-box.ts'

/** The checkpoints that copies are being made from, by id, with the number of copies. They are not garbage. */
const holds = perBox(() => new Map<string, number>())

/** The memory bases that are kept for the next copies, by id, until when by the steady clock. */
const keptBases = perBox(() => new Map<string, number>())

/** Protects a checkpoint from garbage collection until `release` has been called as often as `acquire`. */
export function acquire(box: Box, checkpoint: string): void {
  holds(box).set(checkpoint, (holds(box).get(checkpoint) ?? 0) + 1)
}

/** Undoes one `acquire`. The next garbage collection removes a checkpoint that nothing needs any more. */
export function release(box: Box, checkpoint: string): void {
  const left = (holds(box).get(checkpoint) ?? 0) - 1
  if (left > 0) holds(box).set(checkpoint, left)
  else holds(box).delete(checkpoint)
}

/** Protects a memory base from garbage collection for so many milliseconds from now. */
export function keepBase(box: Box, base: string, ms: number): void {
  keptBases(box).set(base, performance.now() + ms)
}

/** Returns what is held now: checkpoints, and the memory bases that guests map or that are kept for the next copies. */
export function held(box: Box): { has(id: string): boolean } {
  for (const [id, until] of keptBases(box)) if (until <= performance.now()) keptBases(box).delete(id)
  return new Set([...holds(box).keys(), ...box.live.bases(), ...keptBases(box).keys()])
}
