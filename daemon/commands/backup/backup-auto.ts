import { z } from 'zod'
import { plannedVms } from '../../core/backup/plan.ts'
import { CroftError } from '../../lib/error.ts'
import { count, interval } from '../../lib/text/units.ts'
import type { Retention } from '../../store/index.ts'
import { tagArg } from '../kit/args.ts'
import { command } from '../kit/command.ts'

const defaultKeep: Retention = { daily: 7, weekly: 5, monthly: 12 }
const unitMinutes = { m: 1, h: 60, d: 24 * 60 } as const

export const backupAutoCommand = command({
  name: 'backup auto',
  summary: 'Make backups regularly, or show the plan',
  details:
    'Of each VM, the newest backup of each of the latest days, weeks and months is kept, and the others are removed. The box itself is backed up every hour. A backup that fails is tried again; croft doctor and the console say so when a VM has had none for twice its interval.',
  examples: [
    'croft backup auto --every 1d',
    'croft backup auto --every 6h --keep 7d,5w,12m --tag prod',
    'croft backup auto --off',
    'croft backup auto',
  ],
  args: z.object({
    every: z
      .string()
      .regex(/^[1-9][0-9]{0,3}[mhd]$/, 'it must be like 30m, 6h or 1d')
      .optional()
      .describe('How often: 30m, 6h, 1d')
      .meta({ placeholder: 'interval' }),
    keep: z
      .string()
      .regex(/^[0-9]{1,3}[dwm](,[0-9]{1,3}[dwm]){0,2}$/, 'it must be like 7d,5w,12m')
      .optional()
      .describe('How many to keep, of days, weeks and months (default: 7d,5w,12m)')
      .meta({ placeholder: 'how many' }),
    tag: tagArg.optional().describe('Only VMs with this tag'),
    off: z.boolean().optional().describe('Make no more backups; those there are stay'),
  }),
  result: z.object({
    every: z.number().nullable(),
    keep: z.object({ daily: z.number(), weekly: z.number(), monthly: z.number() }).nullable(),
    tag: z.string().nullable(),
    /** How many VMs it covers now. */
    vms: z.number(),
    target: z.string().nullable(),
  }),
  touches: 'changes',
  async run({ box }, { every, keep, tag, off }) {
    if (off && (every ?? keep ?? tag) !== undefined)
      throw new CroftError('misuse', '--off goes alone.', { argument: 'off' })
    const before = box.store.state.backups.plan
    if (off || (every ?? keep ?? tag) !== undefined) {
      if (!off && every === undefined && !before)
        throw new CroftError('misuse', 'How often?', { hint: 'croft backup auto --every 1d', argument: 'every' })
      const plan = off
        ? null
        : {
            everyMinutes: every === undefined ? before!.everyMinutes : minutesOf(every),
            keep: keep === undefined ? (before?.keep ?? defaultKeep) : retentionOf(keep),
            tag: tag ?? before?.tag ?? null,
          }
      await box.store.update((state) => ({ ...state, backups: { ...state.backups, plan } }))
    }
    const { plan } = box.store.state.backups
    return {
      every: plan?.everyMinutes ?? null,
      keep: plan?.keep ?? null,
      tag: plan?.tag ?? null,
      vms: plan ? plannedVms(box.store.state, plan).length : 0,
      target: box.backups.target?.repository ?? null,
    }
  },
  print({ every, keep, tag, target }, view) {
    if (every === null || !keep) return 'No backups are made by themselves.\n'
    const which = tag === null ? 'Every VM is' : `VMs with the tag ${tag} are`
    const kept = [
      keep.daily && count(keep.daily, 'day'),
      keep.weekly && count(keep.weekly, 'week'),
      keep.monthly && count(keep.monthly, 'month'),
    ].filter(Boolean)
    const newest = kept.length ? `the newest of each of the latest ${kept.join(', ')}` : 'only the newest'
    const where = target === null ? `\nThere is no place for them yet: ${view.croft} backup to /mnt/backup\n` : ''
    return `${which} backed up every ${interval(every)}. Of each, ${newest} is kept.\n${where}`
  },
})

const minutesOf = (text: string): number =>
  Number.parseInt(text, 10) * unitMinutes[text.at(-1) as keyof typeof unitMinutes]

/** Parses `7d,5w,12m`; what is not named is not kept. Pure. */
function retentionOf(text: string): Retention {
  const of = (unit: string) => Number.parseInt(text.split(',').find((part) => part.endsWith(unit)) ?? '0', 10)
  return { daily: of('d'), weekly: of('w'), monthly: of('m') }
}
