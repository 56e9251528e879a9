import { z } from 'zod'
import { stateOf } from '../../core/box.ts'
import { doze } from '../../core/sleep/doze.ts'
import { sleepMinutes } from '../../core/sleep/idle.ts'
import { putToSleep } from '../../core/sleep/sleep.ts'
import { ensureAwake } from '../../core/sleep/wake.ts'
import { editVm } from '../../core/vm/edit.ts'
import { CroftError } from '../../lib/error.ts'
import { minutes } from '../../lib/text/units.ts'
import { vmArg } from '../kit/args.ts'
import { command } from '../kit/command.ts'
import { toVmResult, vmResult } from '../results/vm.ts'
import { wakes, wakesWord } from '../results/wakes.ts'
import { timeOf } from './sleep-until.ts'

export const sleepCommand = command({
  name: 'sleep',
  summary: 'Put a VM to sleep: its memory goes to disk, and it uses nothing',
  details:
    "It wakes when somebody uses it, with everything as it was, and before a timer, a cron job or an at job in it is due; timers that count the time since something, not the time of day, stand still. --until wakes it at that time and not before. With --after it stays awake now, and goes to sleep by itself after being idle for that long: no SSH session, no connection from the box, none of its own to the outside, almost no CPU use, nothing due within 5 minutes, and no croft command running in it. The box's default is 30 minutes, unless its configuration says otherwise. After 60 seconds of being idle, or with --doze, it stays in memory and only stands still: it uses no CPU, and goes on within milliseconds for the same reasons.",
  examples: [
    'croft sleep web',
    'croft sleep web --until 07:30',
    'croft sleep web --doze',
    'croft sleep web --after 30',
    'croft sleep web --after never',
    'croft sleep web --appointments no',
  ],
  args: z.object({
    vm: vmArg,
    until: z
      .string()
      .regex(
        /^([01]?\d|2[0-3]):[0-5]\d$|^[1-9]\d{0,3}[mhd]$|^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d([.]\d{1,3})?)?(Z|[+-]\d\d:\d\d)?)?$/,
        'it must be a time of day such as 07:30, a time such as 2h, or a date such as 2026-12-24T07:30',
      )
      .optional()
      .describe('Sleep now and wake then: 07:30, 2h, or an ISO time')
      .meta({ placeholder: 'time' }),
    after: z
      .string()
      .regex(/^([0-9]{1,5}|never|default)$/, 'it must be a number of minutes, never or default')
      .optional()
      .describe('Minutes of idleness before it goes to sleep by itself, never, or default')
      .meta({ placeholder: 'minutes' }),
    appointments: z
      .enum(['yes', 'no'])
      .optional()
      .describe('Whether timers and cron jobs in it wake it, from the next time that it sleeps or dozes')
      .meta({ placeholder: 'yes|no' }),
    doze: z.boolean().optional().describe('Leave its memory in place, and only have it stand still'),
  }),
  positional: ['vm'],
  result: vmResult.extend({
    /** The setting of --after: minutes without use, 0 for never; `byDefault` when it is the default of the box. */
    policy: z.object({ minutes: z.number(), byDefault: z.boolean() }).nullable(),
    /** The setting of --appointments, if it was given. */
    appointments: z.boolean().nullable(),
  }),
  touches: 'changes',
  async run({ box, host, report }, { vm: name, after, appointments, until, doze: dozes }) {
    if (dozes) {
      const other = Object.entries({ after, appointments, until }).find(([, value]) => value !== undefined)?.[0]
      if (other) throw new CroftError('misuse', `--doze can't be combined with --${other}.`, { argument: 'doze' })
      await host.lookForUse()
      return { ...toVmResult(box, await doze(box, name)), policy: null, appointments: null }
    }
    if (after === undefined && appointments === undefined) {
      const wakeAt = until === undefined ? undefined : { at: timeOf(until, new Date()).toISOString(), what: asked }
      const vm = await putToSleep(box, name, report, undefined, { until: wakeAt })
      return { ...toVmResult(box, vm), policy: null, appointments: null }
    }
    if (until !== undefined) {
      throw new CroftError('misuse', "--until can't be combined with --after or --appointments.", {
        hint: 'Set those first; then croft sleep --until.',
        argument: 'until',
      })
    }
    const sleepAfter = after === 'default' ? null : after === 'never' ? 0 : Number(after)
    const vm = await editVm(box, name, ({ appointment }) => ({
      ...(after !== undefined && { sleepAfter }),
      ...(appointments !== undefined && { keepsAppointments: appointments === 'yes' }),
      ...(appointments === 'no' && appointment?.what !== asked && { appointment: null }),
    }))
    box.usage.note(vm.id, 'croft sleep --after')
    // Its timers are meant to run, and one that was asked without them has to be asked again.
    const neverSleeps = after !== undefined && sleepMinutes(box, vm) === 0
    if ((neverSleeps || appointments === 'yes') && stateOf(box, vm) === 'dozing') await ensureAwake(box, vm.id, report)
    return {
      ...toVmResult(box, vm),
      policy: after === undefined ? null : { minutes: sleepMinutes(box, vm), byDefault: sleepAfter === null },
      appointments: appointments === undefined ? null : vm.keepsAppointments,
    }
  },
  print({ policy, appointments, ...vm }, view) {
    const { name, state } = vm
    if (!policy && appointments === null) {
      const when = wakes(vm, view.now)
      return `${name} is ${state}.${when && ` It ${wakesWord(vm)} at ${when}.`}\n`
    }
    const says: string[] = []
    if (policy) {
      const when = policy.minutes
        ? `goes to sleep after being idle for ${minutes(policy.minutes)}`
        : 'never goes to sleep by itself'
      says.push(`${name} ${when}${policy.byDefault ? ', the default on this box' : ''}.\n`)
    }
    if (appointments !== null)
      says.push(
        `Timers and cron jobs in ${name} ${appointments ? 'wake it' : "don't wake it"} when it sleeps or dozes.\n`,
      )
    return says.join('')
  },
  names: ({ name }) => [name],
})

const asked = 'croft sleep --until'
