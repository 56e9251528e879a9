import type { HistoryResult } from '../../daemon/commands/results/history.ts'
import { bytes, moment } from '../../daemon/lib/text/units.ts'

/** The content of one chart: one series, or some that share a scale. */
export interface Charted {
  title: string
  series: readonly { key: string; title: string }[]
  say(value: number): string
}

export const percent = (value: number): string => `${value < 9.95 ? Number(value.toFixed(1)) : Math.round(value)} %`
const perSecond = (value: number): string => `${bytes(value)}/s`
const one = (title: string, key: string, say: Charted['say']): Charted => ({ title, series: [{ key, title }], say })

export const chartsOfVm: readonly Charted[] = [
  one('CPU, as a share of one', 'cpuPercent', percent),
  one('Memory', 'memoryBytes', bytes),
  {
    title: 'Network',
    series: [
      { key: 'receivedBytesPerSecond', title: 'received' },
      { key: 'sentBytesPerSecond', title: 'sent' },
    ],
    say: perSecond,
  },
  {
    title: 'Disk traffic',
    series: [
      { key: 'diskReadBytesPerSecond', title: 'read' },
      { key: 'diskWrittenBytesPerSecond', title: 'written' },
    ],
    say: perSecond,
  },
  one('Disk, with checkpoints', 'diskBytes', bytes),
]

export const chartsOfBox: readonly Charted[] = [
  one('CPU, as a share of all', 'cpuPercent', percent),
  one('Memory', 'memoryUsedBytes', bytes),
  one('Disk', 'diskUsedBytes', bytes),
  {
    title: 'Time spent waiting',
    series: [
      { key: 'cpuPressure', title: 'for a CPU' },
      { key: 'memoryPressure', title: 'for memory' },
      { key: 'ioPressure', title: 'for a disk' },
    ],
    say: percent,
  },
]

/** Whether the history has any value of this series. */
export const isKnown = ({ series }: HistoryResult, key: string): boolean =>
  series[key]?.some((value) => value !== null) ?? false

/** Formats a moment as precisely as the length of the steps calls for. */
export const momentOf = (seconds: number, stepSeconds: number): string =>
  moment(new Date(seconds * 1000), stepSeconds < 900 ? 'clock' : 'lately')

/** Returns a series in words: its current value, mean and peak. Pure but for the clock's time zone. */
export function inWords({ series, from, stepSeconds }: HistoryResult, key: string, say: Charted['say']): string {
  const values = series[key] ?? []
  const known = values.filter((value) => value !== null)
  if (known.length === 0) return 'nothing recorded'
  const peak = Math.max(...known)
  // The current step may have no sample yet, and the first sample after a start has no rates.
  const now = values.slice(-3).findLast((value) => value !== null) ?? null
  const mean = known.reduce((sum, value) => sum + value, 0) / known.length
  const when = momentOf(from + values.indexOf(peak) * stepSeconds, stepSeconds)
  return `${now === null ? 'not measured now' : `now ${say(now)}`}, mean ${say(mean)}, peak ${say(peak)} at ${when}`
}
