import { expect, test } from 'vitest'
import { sparkline } from './sparkline.ts'

test('a sparkline begins with the first known value, spans the width, and keeps gaps', () => {
  expect(sparkline([null, null, 0, 50, 100], 100, 150, 20)).toBe('M0.0 20.0L75.0 10.0L150.0 0.0')
  expect(sparkline([0, null, 100], 100, 100, 20)).toBe('M0.0 20.0M100.0 0.0')
  expect(sparkline([200], 100, 100, 20)).toBe('M0.0 0.0')
  expect(sparkline([null, null], 100, 100, 20)).toBe('')
})
