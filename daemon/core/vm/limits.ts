import { CroftError } from '../../lib/error.ts'
import type { Limits } from '../../store/index.ts'
import type { Box } from '../box.ts'

/** Checks limits against the box. @throws CroftError `bad-value` for more than the box has */
export function checkLimits(box: Box, limits: { [key in keyof Limits]?: number | undefined }): void {
  const { most } = box.settings
  const check = (what: string, argument: string, asked: number | undefined, has: number, unit: string) => {
    if (asked === undefined || asked <= has) return
    throw new CroftError('bad-value', `The box has ${has} ${unit}; a VM can't have ${asked}.`, {
      hint: `Ask for at most --${argument} ${has}${what}.`,
      argument,
    })
  }
  check('', 'cpu', limits.cpus, most.cpus, 'CPUs')
  check('M', 'memory', limits.memoryMiB, most.memoryMiB, 'MiB of memory')
  check('G', 'disk', limits.diskGiB, most.diskGiB, 'GiB of disk')
}
