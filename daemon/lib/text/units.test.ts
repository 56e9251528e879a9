import { expect, test } from 'vitest'
import { ago, interval, moment, until } from './units.ts'

test('times are formatted relative to now, and exactly in one form', () => {
  const now = new Date(2026, 10, 25, 14, 5)
  const before = (seconds: number) => new Date(now.getTime() - seconds * 1000).toISOString()
  expect([5, 200, 7200, 90_000, 14 * 86_400].map((seconds) => ago(before(seconds), now))).toEqual([
    'just now',
    '3 min ago',
    '2 h ago',
    'yesterday',
    '14 days ago',
  ])
  expect([-200, -7200, -14 * 86_400, 1].map((seconds) => until(before(seconds), now))).toEqual([
    'in 4 min',
    'in 2 h',
    'in 14 days',
    'over',
  ])
  expect(moment(now)).toBe('25 Nov 2026, 14:05')
  expect([moment(now, 'clock'), moment(now, 'lately'), moment(now, 'weekday'), moment(now, 'day')]).toEqual([
    '14:05',
    'Wed 25 Nov, 14:05',
    'Wed 25',
    '25 Nov',
  ])
})

test.each([
  [1440, 'day'],
  [2880, '2 days'],
  [60, 'hour'],
  [360, '6 hours'],
  [1, 'minute'],
  [90, '90 minutes'],
])('every %i minutes is every %s', (count, words) => {
  expect(interval(count)).toBe(words)
})
