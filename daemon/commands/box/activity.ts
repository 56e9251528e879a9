import { z } from 'zod'
import { bounded, entrySchema, whatOf, whenceOf, whoOf } from '../../activity/index.ts'
import { findVm, vmNamed, vmsOf } from '../../core/box.ts'
import { plainLine } from '../../lib/text/plain-text.ts'
import { ago } from '../../lib/text/units.ts'
import { durationArg, vmArg } from '../kit/args.ts'
import { command } from '../kit/command.ts'
import { maySee, seesSome } from '../kit/scope.ts'
import { table } from '../kit/text.ts'

const activityResult = z.object({
  /** Oldest first. */
  entries: z.array(entrySchema),
  /** Whether there are older matching entries. */
  more: z.boolean(),
})
export type ActivityResult = z.infer<typeof activityResult>

export const activityCommand = command({
  name: 'activity',
  summary: 'Show who did what, when and from where',
  details:
    'Croft records everything that changes something, enters a VM or grants access, including what it does by itself; it does not record commands that only read. It never records values of variables, scripts, keys or tokens. It keeps the latest 8 to 16 MB.',
  examples: [
    'croft activity',
    'croft activity web --since 24h',
    'croft activity --failed',
    'croft activity --find ada',
  ],
  args: z.object({
    vm: vmArg.optional().describe('Only entries about this VM, which may be deleted by now'),
    find: z
      .string()
      .max(200)
      .optional()
      .describe('Only entries with all of these words')
      .meta({ placeholder: 'words' }),
    failed: z.boolean().optional().describe('Only entries that failed or were refused'),
    since: durationArg.optional().describe('Only entries from the last 30m, 12h or 7d'),
    limit: z.int().min(1).max(1000).default(50).describe('The most entries to show').meta({ placeholder: 'n' }),
    before: z.int().min(1).optional().describe('Only entries before the one with this id').meta({ placeholder: 'id' }),
  }),
  positional: ['vm'],
  result: activityResult,
  touches: 'reads',
  listsVms: true,
  async run({ box, principal: { scope } }, { vm: name, since, ...asked }) {
    const vm = name === undefined ? undefined : (vmNamed(box.store.state, name)?.id ?? name)
    const seen =
      seesSome(scope) && new Set(vmsOf(box.store.state).flatMap((each) => (maySee(scope, each) ? each.id : [])))
    const found = await box.activity.read({
      ...asked,
      since: since === undefined ? undefined : new Date(Date.now() - since * 1000),
      may: ({ vms }) =>
        (vm === undefined || vms.some((each) => each.id === vm || each.name === vm)) &&
        (!seen || (vms.length > 0 && vms.every(({ id }) => seen.has(id)))),
    })
    // A deleted VM is found by its former name. Throws for a VM that never existed.
    if (name !== undefined && found.entries.length === 0) findVm(box.store.state, name)
    return found
  },
  print({ entries }, view) {
    if (entries.length === 0) return 'No such activity yet.\n'
    return table(
      entries,
      [
        { title: 'WHEN', value: ({ at }) => ago(at, view.now) },
        { title: 'WHO', value: (entry) => plainLine(whoOf(entry)), dress: () => 'bold' },
        {
          title: 'RESULT',
          value: ({ result, code }) => code ?? result,
          dress: ({ result }) => (result === 'done' ? 'dim' : 'red'),
        },
        { title: 'WHAT', value: (entry) => bounded(withNames(entry), Math.max(24, view.columns - others)) },
        { title: 'FROM', value: (entry) => whenceOf(entry) },
      ],
      view,
    )
  },
  names: ({ entries }) => entries.map(({ id }) => String(id)),
})

/** Approximate width of the other columns, in characters: WHAT may be long. */
const others = 46

/** Prefixes the names of the VMs, unless the entry is a command line, which names them itself. Pure. */
function withNames(entry: z.output<typeof entrySchema>): string {
  const names = entry.command === null ? entry.vms.map(({ name }) => name).join(', ') : ''
  return names ? `${names}: ${whatOf(entry)}` : whatOf(entry)
}
