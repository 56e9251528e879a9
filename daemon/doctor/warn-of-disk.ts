import { croft } from '../activity/index.ts'
import type { Box } from '../core/box.ts'
import type { Check } from '../core/interfaces/check.ts'
import { repeat } from '../lib/async/interval.ts'

const lookMs = 10 * 60_000

/**
 * Warns once when the box's disk is nearly full, or soon will be, and once more each time that comes back after a
 * recovery.
 * @returns a function that ends the watch
 */
export function warnOfDisk(box: Box, look: () => Promise<Check>): () => void {
  let told = false
  return repeat(lookMs, 'check how full the disk is', box.log, async () => {
    const { state, says, advice } = await look()
    if (state !== 'fine' && !told) {
      box.events.publish({ type: 'box.warning', message: `The disk of the box has ${says}. ${advice ?? ''}`.trim() })
      await box.activity.note({ ...croft, what: `the disk of the box has ${says}`, vms: [] })
    }
    told = state !== 'fine'
  })
}
