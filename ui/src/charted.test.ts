import { expect, test } from 'vitest'
import { inWords, isKnown, percent } from './charted.ts'

const from = new Date(2026, 10, 25, 14, 0).getTime() / 1000
const history = { stepSeconds: 10, from, series: { cpu: [1, null, 74, 9, null], none: [null, null] } }

test('a series in words has its current value, mean and peak', () => {
  expect(inWords(history, 'cpu', percent)).toBe('now 9 %, mean 28 %, peak 74 % at 14:00')
  const ended = { ...history, series: { cpu: [1, 3, null, null, null] } }
  expect(inWords(ended, 'cpu', percent)).toBe('not measured now, mean 2 %, peak 3 % at 14:00')
  expect(inWords(history, 'none', percent)).toBe('nothing recorded')
})

test('a series with only gaps counts as unknown', () => {
  expect(['cpu', 'none', 'other'].map((key) => isKnown(history, key))).toEqual([true, false, false])
})
