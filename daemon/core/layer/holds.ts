import type { Box } from '../box.ts'
import { perBox } from '../per-box.ts'

/** The checkpoints that copies are being made from, by id, with the number of copies. They are not garbage. */
const holds = perBox(() => new Map<string, number>())

/** The memory bases that are kept for the next copies, by id, until when by the steady clock. */
const keptBases = perBox(() => new Map<string, number>())

/** The layers whose files are being read from outside, by id, with the number of readers. They are not merged. */
const readers = perBox(() => new Map<string, number>())

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

/** Does `work`, which reads the files of these layers. The caller has made sure that no merge of them is under way. */
export async function whileRead<T>(box: Box, layers: readonly string[], work: () => Promise<T>): Promise<T> {
  const counts = readers(box)
  const count = (by: 1 | -1) => {
    for (const id of layers) {
      const left = (counts.get(id) ?? 0) + by
      if (left > 0) counts.set(id, left)
      else counts.delete(id)
    }
  }
  count(1)
  try {
    return await work()
  } finally {
    count(-1)
  }
}

/** Returns the ids of the layers that are being read. */
export const beingRead = (box: Box): ReadonlySet<string> => new Set(readers(box).keys())
