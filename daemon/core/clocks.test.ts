import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { watchClock } from './clocks.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

test('a set clock is reported with the size of the step; gradual adjustments are not', () => {
  const steps: number[] = []
  let [clock, steady] = [1_000_000, 0]
  const stop = watchClock(
    (byMs) => steps.push(byMs),
    () => clock,
    () => steady,
  )
  const pass = (ms: number, byMs = 0) => {
    clock += ms + byMs
    steady += ms
    vi.advanceTimersByTime(500)
  }
  for (const by of [0, 400, 400, 400, 0, 86_400_000, 0, -86_400_000, 0]) pass(500, by)
  // The daemon was stalled, or the box was suspended.
  pass(3_600_000)
  expect(steps).toEqual([86_400_000, -86_400_000])
  stop()
})
