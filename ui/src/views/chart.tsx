import { useEffect, useRef } from 'preact/hooks'
import Uplot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import type { HistoryResult } from '../../../daemon/commands/results/history.ts'
import { moment } from '../../../daemon/lib/text/units.ts'
import { type Charted, momentOf } from '../charted.ts'

export interface ChartProps {
  of: Charted
  history: HistoryResult
  /** Receives the values under the pointer, in words; undefined when there are none. */
  onPoint(says: string | undefined): void
}

const height = 168
const hour = 3600
const day = 24 * hour
/** Possible distances between marks of the x axis in seconds, by the length of a step. */
const marks: Record<number, readonly number[]> = {
  10: [600, 1200, 1800],
  120: [3 * hour, 4 * hour, 6 * hour, 12 * hour],
  900: [day, 2 * day],
  3600: [4 * day, 5 * day, 7 * day, 10 * day],
}
/** The series of a chart, told apart by colour and by dash. */
const looks = [
  { colour: '--live', dash: [] },
  { colour: '--look', dash: [6, 4] },
  { colour: '--soft', dash: [2, 3] },
] as const

/** The lines themselves. The same is in words beside them, so screen readers skip the canvas. */
export default function Chart({ of, history, onPoint }: ChartProps) {
  const place = useRef<HTMLDivElement>(null)
  const plot = useRef<Uplot | undefined>(undefined)
  const shown = useRef(history)
  shown.current = history
  const point = useRef(onPoint)
  point.current = onPoint

  // Another range needs other axes, and another theme other colours.
  useEffect(() => {
    const element = place.current!
    const draw = () => {
      plot.current?.destroy()
      plot.current = new Uplot(
        optionsOf(of, element, () => shown.current, point),
        dataOf(of, shown.current),
        element,
      )
    }
    draw()
    const theme = matchMedia('(prefers-color-scheme: dark)')
    theme.addEventListener('change', draw)
    const sizes = new ResizeObserver(() => {
      const width = element.clientWidth
      if (width > 0 && width !== plot.current?.width) plot.current?.setSize({ width, height })
    })
    sizes.observe(element)
    return () => {
      theme.removeEventListener('change', draw)
      sizes.disconnect()
      plot.current?.destroy()
      plot.current = undefined
    }
  }, [of, history.stepSeconds])

  useEffect(() => plot.current?.setData(dataOf(of, history)), [of, history])
  return <div class="chart" ref={place} aria-hidden="true" />
}

function dataOf({ series }: Charted, history: HistoryResult): Uplot.AlignedData {
  const all = series.map(({ key }) => history.series[key] ?? [])
  const steps = Math.max(...all.map((values) => values.length))
  return [Array.from({ length: steps }, (_, i) => history.from + i * history.stepSeconds), ...all]
}

function optionsOf(
  { series, say }: Charted,
  element: HTMLElement,
  history: () => HistoryResult,
  point: { current: ChartProps['onPoint'] },
): Uplot.Options {
  const { stepSeconds } = history()
  const colour = (token: string) => colourOf(element, token)
  const axis = {
    stroke: colour('--soft'),
    font: '12px system-ui, sans-serif',
    grid: { stroke: colour('--line'), width: 1 },
    ticks: { show: false },
  }
  return {
    width: element.clientWidth,
    height,
    padding: [8, 12, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 }, sync: { key: 'charts' } },
    scales: {
      x: { range: (_, from, to) => [from, to] },
      y: { range: (_, _from, to) => [0, Math.max(to * 1.08, least(say))] },
    },
    axes: [
      {
        ...axis,
        incrs: [...marks[stepSeconds]!],
        space: 60,
        size: 26,
        gap: 6,
        values: (_, at) => at.map(marked(stepSeconds)),
      },
      { ...axis, size: 74, gap: 8, space: 32, values: (_, at) => at.map(say) },
    ],
    series: [
      {},
      ...series.map((_, i): Uplot.Series => {
        const { colour: token, dash } = looks[i]!
        const stroke = colour(token)
        return {
          stroke,
          dash: [...dash],
          width: 1.5,
          ...(series.length === 1 && { fill: colour('--live-field') }),
          points: { show: true, size: 3, stroke, fill: stroke, filter: lonely },
        }
      }),
    ],
    hooks: {
      setCursor: [
        ({ cursor: { idx, left }, data }) => {
          if (idx == null || left == null || left < 0) return point.current(undefined)
          const said = series.map(({ title }, i) => {
            const value = data[i + 1]?.[idx]
            return `${series.length > 1 ? `${title} ` : ''}${value == null ? '–' : say(value)}`
          })
          point.current(`${momentOf(data[0][idx]!, stepSeconds)}: ${said.join(', ')}`)
        },
      ],
    },
  }
}

/** The scale never ends below 5 % or 1 kB, so that a box at rest does not look busy. */
const least = (say: Charted['say']): number => (say(1).includes('%') ? 5 : 1000)

/** Finds samples with gaps on both sides: they make no line and are drawn as points. */
const lonely = (plot: Uplot, series: number): number[] => {
  const values = plot.data[series]!
  return Array.from(values.keys()).filter((i) => values[i] != null && values[i - 1] == null && values[i + 1] == null)
}

const marked = (stepSeconds: number) => (seconds: number) =>
  moment(new Date(seconds * 1000), stepSeconds < 900 ? 'clock' : stepSeconds < 3600 ? 'weekday' : 'day')

/** Returns the colour of a token in the current theme, in a form that a canvas accepts. */
function colourOf(element: HTMLElement, token: string): string {
  const probe = element.appendChild(document.createElement('i'))
  probe.style.color = `var(${token})`
  const { color } = getComputedStyle(probe)
  probe.remove()
  return color
}
