import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { memoizeFor } from './memoize.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

test('callers that ask during a measurement, or within the time after, share its result', async () => {
  const under: PromiseWithResolvers<number>[] = []
  const ask = memoizeFor(1000, () => {
    under.push(Promise.withResolvers())
    return under.at(-1)!.promise
  })
  const first = [ask(), ask()]
  vi.advanceTimersByTime(5000) // however long that takes
  first.push(ask())
  under[0]!.resolve(1)
  expect(await Promise.all(first)).toEqual([1, 1, 1])
  vi.advanceTimersByTime(999)
  expect(await ask()).toBe(1)
  vi.advanceTimersByTime(1)
  const next = ask()
  under[1]!.resolve(2)
  expect(await next).toBe(2)
  expect(under.length).toBe(2)
})

test('a failure is not kept', async () => {
  let count = 0
  const ask = memoizeFor(1000, async () => {
    count += 1
    if (count === 1) throw new Error('not now')
    return count
  })
  await expect(ask()).rejects.toThrow('not now')
  expect(await ask()).toBe(2)
})
