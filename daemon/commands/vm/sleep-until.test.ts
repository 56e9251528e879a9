import { expect, test } from 'vitest'
import { timeOf } from './sleep-until.ts'

/** By the clock of the box, in its own time zone. */
const now = new Date(2026, 10, 30, 12, 0, 30)

test.each([
  ['12:01', new Date(2026, 10, 30, 12, 1)],
  ['12:00', new Date(2026, 11, 1, 12, 0)],
  ['7:30', new Date(2026, 11, 1, 7, 30)],
  ['2h', new Date(2026, 10, 30, 14, 0, 30)],
  ['90m', new Date(2026, 10, 30, 13, 30, 30)],
  ['2026-12-24T07:30', new Date(2026, 11, 24, 7, 30)],
  ['2026-12-24 07:30', new Date(2026, 11, 24, 7, 30)],
  ['2026-12-24T07:30:00+01:00', new Date(Date.UTC(2026, 11, 24, 6, 30))],
])('%s is a time to wake at', (text, at) => {
  expect(timeOf(text, now)).toEqual(at)
})

test.each([
  ['2020-01-01', 'is over'],
  ['400d', 'is more than a year away'],
  ['2026-13-01', 'is no date'],
])('%s is none: it %s', (text, why) => {
  expect(() => timeOf(text, now)).toThrow(`${text} ${why}.`)
})
