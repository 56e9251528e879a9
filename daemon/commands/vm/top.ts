import { z } from 'zod'
import { stateOf, vmsOf } from '../../core/box.ts'
import { standing, waits } from '../../core/interfaces/governor.ts'
import { isUp } from '../../core/vm/state.ts'
import { bar, bytes, minutes } from '../../lib/text/units.ts'
import { command, type View } from '../kit/command.ts'
import { maySee, seesSome } from '../kit/scope.ts'
import { type Column, facts, style, table } from '../kit/text.ts'
import {
  counted,
  countStates,
  describeUse,
  governedResult,
  hostUsageResult,
  memoryPressureResult,
  noUsage,
  pressureResult,
  sharedOf,
  type UsageResult,
  usageResult,
  useResult,
  vmColumns,
  vmResult,
} from '../results/vm.ts'

const orders = ['cpu', 'memory', 'disk', 'name'] as const
type Order = (typeof orders)[number]

const topVm = vmResult
  .pick({ id: true, name: true, state: true, sshSessions: true })
  .extend(usageResult.shape)
  .extend(useResult.shape)
  .extend({ governor: governedResult })
type TopVm = z.infer<typeof topVm>

/**
 * CPU comes from the box's meter. For a VM it is the CPU time of its QEMU, guest included, in percent of one CPU; for
 * the box it is in percent of all CPUs. Both are means since the last measurement for any caller: over at least a
 * second, and for a VM over at most 10 s.
 */
const topResult = z.object({
  sort: z.enum(orders),
  /** Null for a caller who sees only some of the VMs. */
  box: hostUsageResult.extend({ pressure: pressureResult, memory: memoryPressureResult }).nullable(),
  /** The largest first. */
  vms: z.array(topVm),
})
export type TopResult = z.infer<typeof topResult>

const everyArg = z
  .string()
  .regex(/^([1-9]|[1-5][0-9]|60)s?$/, 'the interval is 1s to 60s')
  .default('2s')
  .transform((text) => Number.parseInt(text, 10))
  .describe('How often to measure, 1s to 60s')
  .meta({ placeholder: 'time' })

export const topCommand = command({
  name: 'top',
  summary: 'Watch what the box and its VMs use',
  details:
    'On a terminal it runs until you press q or Ctrl-C; elsewhere it prints once. CPU is a percentage of one CPU for a VM, and of all CPUs for the box.',
  examples: ['croft top', 'croft top --sort memory', 'croft top --every 10s', 'croft top --json'],
  args: z.object({
    sort: z
      .enum(orders)
      .default('cpu')
      .describe(`What to sort VMs by: ${orders.join(', ')}`)
      .meta({ placeholder: 'column' }),
    every: everyArg,
  }),
  result: topResult,
  touches: 'reads',
  listsVms: true,
  async run({ box, host, principal: { scope } }, { sort }) {
    const ofBox = async () => {
      const [all, pressure] = await Promise.all([host.usage(), host.pressure()])
      return { ...all, pressure, memory: box.governor.now() }
    }
    const [usage, whole] = await Promise.all([host.vmUsage(), seesSome(scope) ? null : ofBox()])
    const vms = vmsOf(box.store.state)
      .filter((vm) => maySee(scope, vm))
      .map((vm): TopVm => {
        const { id, name } = vm
        const taken = usage.get(id) ?? noUsage
        return {
          id,
          name,
          state: stateOf(box, vm),
          sshSessions: box.usage.sessions(id),
          ...taken,
          ...describeUse(box, vm),
          governor: box.governor.of(vm.id) ?? null,
        }
      })
    return { sort, box: whole, vms: sorted(vms, sort) }
  },
  refreshMs: ({ every }) => every * 1000,
  print: picture,
  names: ({ vms }) => vms.map(({ name }) => name),
})

const measures = { cpu: 'cpuPercent', memory: 'memoryBytes', disk: 'diskBytes' } as const

/** Sorts the largest first and VMs without a value last. Pure. */
export function sorted<T extends { name: string } & UsageResult>(vms: readonly T[], order: Order): T[] {
  const byName = vms.toSorted((a, b) => a.name.localeCompare(b.name))
  if (order === 'name') return byName
  const measure = measures[order]
  return byName.sort((a, b) => (b[measure] ?? -1) - (a[measure] ?? -1))
}

/** Renders the box and, below it, as many VMs as fit. Pure. */
function picture({ sort, box, vms }: TopResult, view: View): string {
  const { rows: room = Number.POSITIVE_INFINITY } = view
  const hint = `${box ? 'VMs by' : 'by'} ${sort === 'cpu' ? 'CPU' : sort}${view.rows === undefined ? '' : '; Ctrl-C quits'}`
  const title = style(view, 'bold', box ? 'The box' : 'Your VMs')
  const head = [`${title}   ${style(view, 'dim', hint)}`, ...linesOf(facts(rowsOf(box, vms, view), view)), '']
  const [titles = '', ...rows] = vms.length
    ? linesOf(table(vms, columnsAt(view.now), view))
    : [`No VMs. Make one: ${view.croft} new`]
  const left = Math.max(0, room - head.length - 1)
  const more = rows.length > left ? rows.length - Math.max(0, left - 1) : 0
  const shown = more > 0 ? [...rows.slice(0, -more), style(view, 'dim', `… and ${more} more`)] : rows
  const lines = [...head, titles, ...shown].slice(0, room)
  return lines.map((line) => `${line}\n`).join('')
}

function rowsOf(box: TopResult['box'], vms: readonly TopVm[], view: View): [string, string | undefined][] {
  const room = view.columns - 14
  const states: [string, string] = ['VMs', fitting(counted(countStates(vms.map(({ state }) => state))), room) || 'none']
  if (!box) return [states]
  return [
    ['CPU', `${bar(box.cpuPercent / 100)} ${box.cpuPercent.toFixed(1)} % of ${box.cpus}`],
    [
      'memory',
      `${bar(box.memoryUsedBytes / box.memoryTotalBytes)} ${bytes(box.memoryUsedBytes)} of ${bytes(box.memoryTotalBytes)}`,
    ],
    ['', fitting(standing(box.memory), room)],
    ['shared', sharedOf(box)],
    [
      'swap',
      box.swapTotalBytes > 0
        ? `${bar(box.swapUsedBytes / box.swapTotalBytes)} ${bytes(box.swapUsedBytes)} of ${bytes(box.swapTotalBytes)}`
        : undefined,
    ],
    ['disk', `${bar(1 - box.diskFreeBytes / box.diskTotalBytes)} ${bytes(box.diskFreeBytes)} free`],
    ['waits for', fitting(waits(box.pressure), room)],
    states,
  ]
}

const columnsAt = (now: Date): Column<TopVm>[] => [
  ...vmColumns,
  {
    title: 'USED BY',
    value: (vm) => (isUp(vm.state) ? (vm.governor?.what ?? usedBy(vm, now)) : '–'),
  },
]

/** Says why a VM is awake, or for how long it dozes. Pure. */
function usedBy({ use, sleepsAt }: TopVm, now: Date): string {
  if (use?.now) return use.why
  if (sleepsAt === null) return 'nothing'
  return `nothing, sleeps in ${minutes(Math.max(0, (Date.parse(sleepsAt) - now.getTime()) / 60_000))}`
}

/** Joins as many of the words as fit, dropping from the right. Pure. */
function fitting(words: readonly string[], room: number): string {
  let kept = words.length
  while (kept > 0 && words.slice(0, kept).join(', ').length > room) kept--
  return words.slice(0, kept).join(', ')
}

const linesOf = (text: string): string[] => text.replace(/\n$/, '').split('\n')
