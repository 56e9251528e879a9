import { expect, test } from 'vitest'
import { longerPauseMs } from './live-snapshot.ts'

test('a guest may stand still for longer when it changes its memory faster than it is saved, and not without end', () => {
  expect([1, 2, 3, 4, 5, 6, 7].map(longerPauseMs)).toEqual([20, 20, 20, 80, 320, 1280, 5120])
  expect(longerPauseMs(1000)).toBe(2_000_000)
})
