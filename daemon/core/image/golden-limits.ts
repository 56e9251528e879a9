import type { Checkpoint } from '../../store/index.ts'

/** How many golden checkpoints are kept beside the one for the default hardware. */
const keptGoldens = 4
/** The share of the free disk space that all of them together may take. */
const shareOfFree = 0.1

/**
 * Selects the golden checkpoints to evict, least recently used first, from those beside the default hardware's. The
 * latest stays, however large: it would only be made again. Pure.
 * @param bytesOf what one takes on the box, disk and memory @param freeBytes free on the box's disk
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
