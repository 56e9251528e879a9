import { z } from 'zod'
import { type Range, ranges } from '../../core/interfaces/metrics.ts'
import { bytes } from '../../lib/text/units.ts'
import type { View } from '../kit/command.ts'
import { table } from '../kit/text.ts'

export const rangeArg = z
  .enum(ranges)
  .optional()
  .describe(`Show measurements over this time: ${ranges.join(', ')}`)
  .meta({ placeholder: 'range' })

export const historyResult = z.object({
  stepSeconds: z.int(),
  /** Start of the first step, in seconds since 1970. */
  from: z.int(),
  /** The mean of each step up to now; null where nothing was measured, for example while a VM was not running. */
  series: z.record(z.string(), z.array(z.number().nullable())),
})
export type HistoryResult = z.infer<typeof historyResult>

const titles: Record<string, string> = {
  cpuPercent: 'CPU',
  memoryBytes: 'memory',
  memoryUsedBytes: 'memory',
  diskBytes: 'disk',
  diskUsedBytes: 'disk',
  receivedBytesPerSecond: 'received',
  sentBytesPerSecond: 'sent',
  diskReadBytesPerSecond: 'disk read',
  diskWrittenBytesPerSecond: 'written',
  cpuPressure: 'wait CPU',
  memoryPressure: 'wait mem.',
  ioPressure: 'wait disk',
}

/** Formats a row per series: a sparkline from 0 to the maximum, then minimum, mean and maximum. */
export function historyLines(history: HistoryResult, range: Range, view: View): string {
  const rows = Object.entries(history.series).flatMap(([name, values]) => {
    const known = values.filter((value) => value !== null)
    return known.length ? [{ name, values, known }] : []
  })
  if (rows.length === 0) return `Nothing recorded in the last ${range}.\n`
  const across = Math.max(10, Math.min(60, view.columns - 46))
  return table(
    rows,
    [
      { title: `LAST ${range}`, value: ({ name }) => titles[name] ?? name },
      { title: '', value: ({ values }) => sparklineText(values, across) },
      { title: 'MIN', value: ({ name, known }) => amount(name, Math.min(...known)), right: true },
      { title: 'MEAN', value: ({ name, known }) => amount(name, mean(known)), right: true },
      { title: 'MAX', value: ({ name, known }) => amount(name, Math.max(...known)), right: true },
    ],
    view,
  )
}

/** Formats a value with the unit that the name of its series implies. */
export function amount(name: string, value: number): string {
  if (name.endsWith('PerSecond')) return `${bytes(value)}/s`
  if (name.endsWith('Bytes')) return bytes(value)
  return `${value < 9.95 ? value.toFixed(1) : Math.round(value)} %`
}

const blocks = [...'▁▂▃▄▅▆▇█']

/** Draws `across` characters; a gap is a space. Pure. */
export function sparklineText(values: readonly (number | null)[], across: number): string {
  const cells = Array.from({ length: across }, (_, i) => {
    const [from, to] = [i, i + 1].map((at) => Math.round((at * values.length) / across)) as [number, number]
    const known = values.slice(from, to).filter((value) => value !== null)
    return known.length ? mean(known) : null
  })
  const most = Math.max(...cells.map((cell) => cell ?? 0))
  return cells
    .map((cell) => (cell === null ? ' ' : most === 0 ? blocks[0] : blocks[Math.round((cell / most) * 7)]))
    .join('')
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length
