import { bytes, until } from '../../lib/text/units.ts'
import type { Host } from '../interfaces/host.ts'
import type { History } from '../interfaces/metrics.ts'

/** When the disk of the box will be full if it keeps filling up at the pace of the range. */
export interface Forecast {
  fullAt: string
  bytesPerDay: number
  range: (typeof ranges)[number]
}

const ranges = ['24h', '7d'] as const
const daySeconds = 86_400
const fewestPoints = 15
/** Beyond this a straight line says nothing. */
const mostDays = 365

/**
 * Forecasts from the disk's history, at the faster pace of its last day and its last week; null when neither has one.
 */
export async function diskForecast(history: Host['history'], freeBytes: number, now: Date): Promise<Forecast | null> {
  const found = await Promise.all(
    ranges.map(async (range) => ({ range, bytesPerDay: paceOf(await history('box', range)) })),
  )
  return forecast(found, freeBytes, now)
}

/** Forecasts at the fastest of the paces; null when there is none, or for more than a year ahead. Pure. */
export function forecast(
  paces: readonly { range: Forecast['range']; bytesPerDay: number | undefined }[],
  freeBytes: number,
  now: Date,
): Forecast | null {
  const fastest = paces
    .flatMap(({ range, bytesPerDay }) => (bytesPerDay === undefined ? [] : { range, bytesPerDay }))
    .sort((a, b) => b.bytesPerDay - a.bytesPerDay)[0]
  if (!fastest) return null
  const days = freeBytes / fastest.bytesPerDay
  if (days > mostDays) return null
  return { fullAt: new Date(now.getTime() + days * daySeconds * 1000).toISOString(), ...fastest }
}

/**
 * How fast the disk is filling up, in bytes per day: the slope of the best-fitting straight line (least squares).
 * Undefined when there are too few points or they span less than half of the time, when the disk is not filling up, and
 * when either half of the points does not confirm the slope, as after a single large write. Pure.
 */
export function paceOf({ stepSeconds, series }: History): number | undefined {
  const used = series.diskUsedBytes ?? []
  const points = used.flatMap((y, i): Point[] => (y === null ? [] : [{ x: i * stepSeconds, y }]))
  const [first, last] = [points[0], points.at(-1)]
  if (!first || !last || last.x - first.x < (used.length * stepSeconds) / 2) return undefined
  const middle = (first.x + last.x) / 2
  const halves = [points.filter(({ x }) => x < middle), points.filter(({ x }) => x >= middle)]
  if (halves.some((half) => half.length < fewestPoints)) return undefined
  const slope = slopeOf(points)
  if (slope <= 0 || halves.some((half) => slopeOf(half) < slope / 3)) return undefined
  return slope * daySeconds
}

interface Point {
  x: number
  y: number
}

function slopeOf(points: readonly Point[]): number {
  const mean = (of: (point: Point) => number) => points.reduce((sum, point) => sum + of(point), 0) / points.length
  const [x, y] = [mean((point) => point.x), mean((point) => point.y)]
  return mean((point) => (point.x - x) * (point.y - y)) / mean((point) => (point.x - x) ** 2)
}

/** Formats a forecast: "full in 5 days at the pace of the last week, 1.2 GB a day". Pure. */
export function forecastInWords({ fullAt, bytesPerDay, range }: Forecast, now: Date): string {
  const over = range === '24h' ? 'day' : 'week'
  return `full ${until(fullAt, now)} at the pace of the last ${over}, ${bytes(bytesPerDay)} a day`
}
