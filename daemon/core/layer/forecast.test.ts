import { describe, expect, test } from 'vitest'
import { tiers } from '../interfaces/metrics.ts'
import { forecast, forecastInWords, paceOf } from './forecast.ts'

const GB = 1e9
const { stepSeconds, slots } = tiers['24h']
/** A day's history of the disk, as a function of the part of the day that is over, from 0 to 1. */
const day = (used: (at: number) => number | null) =>
  paceOf({
    stepSeconds,
    from: 0,
    series: { diskUsedBytes: Array.from({ length: slots }, (_, i) => used(i / (slots - 1))) },
  })

describe('how fast the disk is being filled', () => {
  test('is the slope of what was used', () => {
    expect(day((at) => 50 * GB + at * 2 * GB)).toBeCloseTo((2 * GB * slots) / (slots - 1), -4)
  })

  test('is found beneath temporary files', () => {
    const pace = day((at) => 50 * GB + at * 2 * GB + GB * Math.sin(at * 100))
    expect(pace).toBeGreaterThan(1.5 * GB)
    expect(pace).toBeLessThan(2.5 * GB)
  })

  test('is unknown while nothing grows', () => {
    expect(day(() => 50 * GB)).toBeUndefined()
    expect(day((at) => 50 * GB - at * GB)).toBeUndefined()
    expect(day((at) => 50 * GB + GB * Math.sin(at * 6.28))).toBeUndefined()
  })

  test.each([0.1, 0.4, 0.5, 0.6, 0.9])('is unknown after a single large write, at %s of the day', (when) => {
    expect(day((at) => (at < when ? 50 : 60) * GB)).toBeUndefined()
  })

  test('is known from half the time on, even with gaps', () => {
    const rising = (at: number) => 50 * GB + at * GB
    expect(day(() => null)).toBeUndefined()
    expect(day((at) => (at > 0.55 ? rising(at) : null))).toBeUndefined()
    expect(day((at) => (at > 0.45 ? rising(at) : null))).toBeGreaterThan(0.9 * GB)
    expect(day((at) => (at < 0.3 || at > 0.7 ? rising(at) : null))).toBeGreaterThan(0.9 * GB)
    expect(day((at) => (at === 0 || at === 1 ? rising(at) : null))).toBeUndefined()
    expect(paceOf({ stepSeconds, from: 0, series: {} })).toBeUndefined()
  })
})

describe('the forecast', () => {
  const now = new Date('2026-11-26T12:00:00Z')
  test('uses the faster of both paces, and the space that is free now', () => {
    const paces = [
      { range: '24h', bytesPerDay: 2 * GB },
      { range: '7d', bytesPerDay: 5 * GB },
    ] as const
    const found = forecast(paces, 20 * GB, now)!
    expect(found).toEqual({ fullAt: '2026-11-30T12:00:00.000Z', bytesPerDay: 5 * GB, range: '7d' })
    expect(forecastInWords(found, now)).toBe('full in 4 days at the pace of the last week, 5.0 GB a day')
  })

  test('is not made without a pace, nor for more than a year', () => {
    expect(forecast([{ range: '24h', bytesPerDay: undefined }], 20 * GB, now)).toBeNull()
    expect(forecast([{ range: '24h', bytesPerDay: GB }], 400 * GB, now)).toBeNull()
  })
})
