import { bytes, until } from '../../lib/units.ts'
import type { Host } from '../interfaces/host.ts'
import type { History } from '../interfaces/metrics.ts'

/** When the disk of the box is full if it goes on being filled as it was over a time. */
export interface Forecast {
  fullAt: string
  bytesPerDay: number
  range: (typeof ranges)[number]
}

const ranges = ['24h', '7d'] as const
const daySeconds = 86_400
const fewestPoints = 15
/** Further ahead a straight line says nothing. */
const mostDays = 365

/** What the disk's history says, the sooner of its last day and its last week; null when that says nothing. */
export async function diskForecast(history: Host['history'], freeBytes: number, now: Date): Promise<Forecast | null> {
  const found = await Promise.all(
    ranges.map(async (range) => ({ range, bytesPerDay: paceOf(await history('box', range)) })),
  )
  return forecast(found, freeBytes, now)
}

/** Pure. */
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
 * How fast the disk is being filled, in bytes a day: the slope of the straight line that fits best (least squares).
 * Undefined when there are too few points, or they reach over less than half of the time; when it is not being filled;
 * and when either half of the points alone does not bear it out, as when something large came all at once. Pure.
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

/** full in 5 days at the pace of the last week, 1.2 GB a day */
export function forecastInWords({ fullAt, bytesPerDay, range }: Forecast, now: Date): string {
  const over = range === '24h' ? 'day' : 'week'
  return `full ${until(fullAt, now)} at the pace of the last ${over}, ${bytes(bytesPerDay)} a day`
}
