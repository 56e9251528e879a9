import { z } from 'zod'
import { sleepMinutes } from '../../core/sleep/idle.ts'
import { putToSleep } from '../../core/sleep/sleep.ts'
import { editVm } from '../../core/vm/edit.ts'
import { minutes } from '../../lib/text/units.ts'
import { vmArg } from '../kit/args.ts'
import { command } from '../kit/command.ts'
import { toVmResult, vmResult } from '../results/vm.ts'

export const sleepCommand = command({
  name: 'sleep',
  summary: 'Put a VM to sleep: its memory goes to disk, and it uses nothing',
  details:
    "It wakes when somebody uses it, with everything as it was. With --after it stays awake now, and goes to sleep by itself after being idle for that long: no SSH session, no connection from the box, almost no CPU use, and no croft command running in it. While it sleeps, its timers and cron jobs don't run.",
  examples: ['croft sleep web', 'croft sleep web --after 30', 'croft sleep web --after never'],
  args: z.object({
    vm: vmArg,
    after: z
      .string()
      .regex(/^([0-9]{1,5}|never|default)$/, 'it must be a number of minutes, never or default')
      .optional()
      .describe('Minutes of idleness before it goes to sleep by itself, never, or default')
      .meta({ placeholder: 'minutes' }),
  }),
  positional: ['vm'],
  result: vmResult.extend({
    /** The setting of --after: minutes without use, 0 for never; `byDefault` when it is the default of the box. */
    policy: z.object({ minutes: z.number(), byDefault: z.boolean() }).nullable(),
  }),
  touches: 'changes',
  async run({ box, report }, { vm: name, after }) {
    if (after === undefined) return { ...toVmResult(box, await putToSleep(box, name, report)), policy: null }
    const sleepAfter = after === 'default' ? null : after === 'never' ? 0 : Number(after)
    const vm = await editVm(box, name, () => ({ sleepAfter }))
    box.usage.note(vm.id, 'croft sleep --after')
    return { ...toVmResult(box, vm), policy: { minutes: sleepMinutes(box, vm), byDefault: sleepAfter === null } }
  },
  print({ name, policy }) {
    if (!policy) return `${name} is asleep.\n`
    const when = policy.minutes
      ? `goes to sleep after being idle for ${minutes(policy.minutes)}`
      : 'never goes to sleep by itself'
    return `${name} ${when}${policy.byDefault ? ', the default on this box' : ''}.\n`
  },
  names: ({ name }) => [name],
})
