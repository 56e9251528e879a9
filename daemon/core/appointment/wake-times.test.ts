import { expect, test } from 'vitest'
import { type Alarm, nextToWake, wakeTimes } from './wake-times.ts'

const alarm = (id: string, at: number, priority: Alarm['priority'] = 'normal') => ({ id, at: at * 1000, priority })
const times = (alarms: Alarm[], size: number) =>
  wakeTimes(alarms, size, 15_000).map(({ id, wakeAt }) => [id, wakeAt / 1000])

test('a VM is woken a little before its appointment', () => {
  expect(times([alarm('a', 600), alarm('b', 100)], 2)).toEqual([
    ['b', 85],
    ['a', 585],
  ])
})

test('of many that are due together, the first are woken earlier, by priority', () => {
  const many = [alarm('a', 600), alarm('b', 600, 'low'), alarm('c', 600, 'high'), alarm('d', 600), alarm('e', 600)]
  expect(times(many, 2)).toEqual([
    ['c', 581],
    ['e', 583],
    ['d', 583],
    ['a', 585],
    ['b', 585],
  ])
})

test('500 at 03:00 are all woken in time, two at once', () => {
  const timed = wakeTimes(
    Array.from({ length: 500 }, (_, i) => alarm(`${i}`, 10_800)),
    2,
    15_000,
  )
  expect(timed.every(({ wakeAt, at }) => wakeAt <= at - 15_000)).toBe(true)
  for (const { wakeAt } of timed) expect(timed.filter((each) => each.wakeAt === wakeAt).length).toBeLessThanOrEqual(2)
  expect(timed[0]!.wakeAt).toBe((10_800 - 15 - 249 * 2) * 1000)
})

test('the next to be woken is the one with the highest priority among those that are due', () => {
  const timed = wakeTimes(
    [alarm('a', 20), alarm('b', 30, 'high'), alarm('c', 10, 'high'), alarm('d', 900, 'high')],
    2,
    15_000,
  )
  expect(nextToWake(timed, 29_000)?.id).toBe('c')
  expect(
    nextToWake(
      timed.filter(({ id }) => id !== 'c'),
      29_000,
    )?.id,
  ).toBe('b')
  expect(nextToWake(timed, -60_000)).toBeUndefined()
})
