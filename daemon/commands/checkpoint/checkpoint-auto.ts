import { z } from 'zod'
import { findVm } from '../../core/box.ts'
import { checkpointsOf } from '../../core/checkpoint/find.ts'
import { isOn, type Schedule } from '../../core/checkpoint/schedule.ts'
import { editVm } from '../../core/vm/edit.ts'
import { CroftError } from '../../lib/error.ts'
import { count } from '../../lib/text/units.ts'
import { vmArg } from '../kit/args.ts'
import { command } from '../kit/command.ts'

export const checkpointAutoCommand = command({
  name: 'checkpoint auto',
  summary: 'Schedule automatic checkpoints, or show the schedule',
  details:
    'Croft takes a checkpoint every hour, or every day if you keep only daily ones. A VM that is not running gets one only after its disk has changed. The newest checkpoint of each recent hour and day (UTC) is kept; the others are deleted. Checkpoints that you took yourself always stay.',
  examples: [
    'croft checkpoint auto web hourly=24 daily=7',
    'croft checkpoint auto web daily=14',
    'croft checkpoint auto web off',
    'croft checkpoint auto web',
  ],
  args: z.object({
    vm: vmArg,
    keep: z
      .array(z.string().regex(/^(off|(hourly|daily)=[0-9]{1,3})$/, 'it must be hourly=<number>, daily=<number> or off'))
      .max(2)
      .optional()
      .describe('How many to keep: hourly=24, daily=7, or off')
      .meta({ placeholder: 'how many' }),
  }),
  positional: ['vm', 'keep'],
  result: z.object({
    vm: z.string(),
    hourly: z.int(),
    daily: z.int(),
    /** Number of scheduled checkpoints. */
    taken: z.int(),
  }),
  touches: 'changes',
  async run({ box }, { vm: name, keep = [] }) {
    const { id } = findVm(box.store.state, name)
    if (keep.length) {
      const schedule = parseKeep(keep)
      await editVm(box, id, () => ({ schedule }))
    }
    const vm = findVm(box.store.state, id)
    const taken = checkpointsOf(box.store.state, vm).filter(({ kind }) => kind === 'scheduled').length
    return { vm: vm.name, ...vm.schedule, taken }
  },
  print({ vm, hourly, daily, taken }) {
    if (isOn({ hourly, daily })) {
      const kept = [hourly && `the latest ${count(hourly, 'hour')}`, daily && `the latest ${count(daily, 'day')}`]
      return `${vm} keeps one checkpoint for each of ${kept.filter(Boolean).join(' and ')}.\n`
    }
    const stay = taken ? `${count(taken, 'scheduled checkpoint')} ${taken === 1 ? 'stays' : 'stay'}.\n` : ''
    return `${vm} has no checkpoint schedule.\n${stay}`
  },
})

/**
 * Parses the words; kinds that are not named are not kept.
 * @throws CroftError `misuse` when words contradict each other
 */
function parseKeep(words: readonly string[]): Schedule {
  const names = words.map((word) => word.split('=')[0])
  if (new Set(names).size < names.length || (names.includes('off') && names.length > 1)) {
    throw new CroftError('misuse', `${words.join(' ')} can't be combined.`, {
      hint: 'Give each once, such as hourly=24 daily=7, or only off.',
    })
  }
  const of = (name: string) => Number(words.find((word) => word.startsWith(`${name}=`))?.split('=')[1] ?? 0)
  return { hourly: of('hourly'), daily: of('daily') }
}
