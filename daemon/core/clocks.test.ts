import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { watchClock } from './clocks.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

test('it is told when the clock is set, and by how much; not what it is adjusted by', () => {
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
  // A daemon that was held up, or a box that was suspended.
  pass(3_600_000)
  expect(steps).toEqual([86_400_000, -86_400_000])
  stop()
})
