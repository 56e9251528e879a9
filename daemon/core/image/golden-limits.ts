import type { Checkpoint } from '../../store/index.ts'

/** Golden checkpoints that are kept beside the one of the default hardware. */
const keptGoldens = 4
/** They may take so much of what is free on the box's disk, all together. */
const shareOfFree = 0.1

/**
 * Those golden checkpoints, of the ones beside the default hardware's, that are too many: the least recently used. The
 * latest stays, however large: it would only be made again. Pure.
 * @param bytesOf what one takes of the box, disk and memory @param freeBytes of the box's disk
 */
export function surplusGoldens(
  beside: readonly Checkpoint[],
  bytesOf: (checkpoint: Checkpoint) => number,
  freeBytes: number,
): Checkpoint[] {
  let bytes = 0
  return beside
    .toSorted((a, b) => b.usedAt.localeCompare(a.usedAt))
    .filter((each, i) => {
      bytes += bytesOf(each)
      return i > 0 && (i >= keptGoldens || bytes > shareOfFree * freeBytes)
    })
}
