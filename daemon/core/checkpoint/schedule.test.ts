import { describe, expect, test } from 'vitest'
import { autoLabel, isDue, outdated } from './schedule.ts'

const at = (time: string) => new Date(`2026-11-${time}Z`)
const taken = (...times: string[]) => times.map((time) => ({ id: time, createdAt: at(time).toISOString() }))
const ids = (checkpoints: { id: string }[]) => checkpoints.map(({ id }) => id).sort()

describe('a scheduled checkpoint is due', () => {
  test('once in each clock hour', () => {
    const hourly = { hourly: 24, daily: 7 }
    expect(isDue(hourly, [], at('24T22:37'))).toBe(true)
    expect(isDue(hourly, taken('24T22:01'), at('24T22:59'))).toBe(false)
    expect(isDue(hourly, taken('24T22:59'), at('24T23:00'))).toBe(true)
    expect(isDue(hourly, taken('23T22:30'), at('24T22:30'))).toBe(true)
  })

  test('once a day where only daily ones are kept', () => {
    const daily = { hourly: 0, daily: 7 }
    expect(isDue(daily, taken('24T00:00'), at('24T23:59'))).toBe(false)
    expect(isDue(daily, taken('24T23:59'), at('25T00:00'))).toBe(true)
  })

  test('never where none are kept', () => {
    expect(isDue({ hourly: 0, daily: 0 }, [], at('24T22:00'))).toBe(false)
  })

  test('only once, even when the clock has been set back', () => {
    expect(isDue({ hourly: 1, daily: 0 }, taken('24T22:50'), at('24T22:10'))).toBe(false)
  })

  test.each([-24, 24])('not again because the clock is set by %i hours', (hours) => {
    const now = new Date(at('24T22:30').getTime() + hours * 3_600_000)
    for (const schedule of [
      { hourly: 3, daily: 1 },
      { hourly: 0, daily: 2 },
    ]) {
      expect(isDue(schedule, taken('24T22:10'), now, 20 * 60_000)).toBe(false)
      expect(isDue(schedule, taken('24T10:10'), now, 12 * 3_600_000)).toBe(true)
    }
  })

  test.each([-24, 24])('once an hour, and kept, while the clock is %i hours off', (hours) => {
    const hourly = { hourly: 3, daily: 1 }
    let kept = taken('24T20:00', '24T21:00', '24T22:00')
    let count = 0
    for (let minute = 0; minute < 26 * 60; minute++) {
      const now = new Date(at('24T22:30').getTime() + hours * 3_600_000 + minute * 60_000)
      if (isDue(hourly, kept, now)) {
        count++
        kept = [...kept, { id: now.toISOString(), createdAt: now.toISOString() }]
      }
      const old = outdated(hourly, kept)
      kept = kept.filter((each) => !old.includes(each))
    }
    expect(count).toBe(27)
    expect(kept.length).toBeLessThan(6)
  })
})

describe('of the scheduled checkpoints', () => {
  test('the newest of each of the latest hours are kept', () => {
    const all = taken('24T20:00', '24T21:00', '24T21:30', '24T22:00', '24T22:40')
    expect(ids(outdated({ hourly: 2, daily: 0 }, all))).toEqual(['24T20:00', '24T21:00', '24T22:00'])
  })

  test('the newest of each of the latest days are kept too', () => {
    const all = taken('21T23:00', '22T10:00', '22T11:00', '23T12:00', '24T08:00', '24T09:00')
    expect(ids(outdated({ hourly: 1, daily: 3 }, all))).toEqual(['21T23:00', '22T10:00', '24T08:00'])
  })

  test('hours and days without one do not count: a VM that sleeps long loses none', () => {
    const all = taken('01T03:00', '09T04:00', '24T22:00')
    expect(outdated({ hourly: 3, daily: 0 }, all)).toEqual([])
    expect(outdated({ hourly: 0, daily: 3 }, all)).toEqual([])
  })

  test('a week of hourly ones leaves 24 and the six days before', () => {
    const week = Array.from({ length: 7 * 24 }, (_, i) => {
      const createdAt = new Date(at('18T00:00').getTime() + i * 3_600_000).toISOString()
      return { id: createdAt, createdAt }
    })
    const gone = new Set(outdated({ hourly: 24, daily: 7 }, week))
    const kept = week.filter((each) => !gone.has(each)).map(({ id }) => id.slice(0, 13))
    expect(kept).toHaveLength(6 + 24)
    expect(kept.slice(0, 7)).toEqual(
      [18, 19, 20, 21, 22, 23, 24].map((day) => `2026-11-${day}T${day === 24 ? '00' : '23'}`),
    )
  })
})

test('a label says when, and is unique', () => {
  const now = at('24T22:00:31')
  expect(autoLabel(['c1'], now)).toBe('auto-2026-11-24-2200')
  expect(autoLabel(['auto-2026-11-24-2200', 'auto-2026-11-24-2200-2'], now)).toBe('auto-2026-11-24-2200-3')
})
