import { expect, test } from 'vitest'
import { FailureLimiter } from './failure-limiter.ts'

test('after ten failures in a minute, the next try waits until the first is a minute old', () => {
  let now = 0
  const tries = new FailureLimiter(() => now)
  for (let i = 0; i < 10; i++) {
    expect(tries.wait('192.0.2.1')).toBe(0)
    tries.fail('192.0.2.1')
    now += 1000
  }
  expect(tries.wait('192.0.2.1')).toBe(50)
  expect(tries.wait('192.0.2.2')).toBe(0)
  now += 50_000
  expect(tries.wait('192.0.2.1')).toBe(0)
})
