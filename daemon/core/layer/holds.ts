import type { Box } from '../box.ts'
import { perBox } from '../per-box.ts'

/** Checkpoints that copies are being made from, by id, with the number of copies: they are not garbage. */
const holds = perBox(() => new Map<string, number>())

/** Keeps a checkpoint from being collected until `release` has been called as often. */
export function acquire(box: Box, checkpoint: string): void {
  holds(box).set(checkpoint, (holds(box).get(checkpoint) ?? 0) + 1)
}

/** Undoes one `acquire`. A checkpoint that nothing needs any more goes with the next garbage collection. */
export function release(box: Box, checkpoint: string): void {
  const left = (holds(box).get(checkpoint) ?? 0) - 1
  if (left > 0) holds(box).set(checkpoint, left)
  else holds(box).delete(checkpoint)
}

/** Returns the checkpoints that are held now. */
export const held = (box: Box): { has(checkpoint: string): boolean } => holds(box)
