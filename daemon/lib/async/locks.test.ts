import { expect, test } from 'vitest'
import { Locks, Semaphore } from './locks.ts'

test('a lock runs one function at a time per key, in order, even after a failure', async () => {
  const locks = new Locks()
  const seen: string[] = []
  const work = (name: string, fails = false) =>
    locks.run('a', async () => {
      seen.push(`${name} begins`)
      await Promise.resolve()
      seen.push(`${name} ends`)
      if (fails) throw new Error(name)
    })
  const all = await Promise.allSettled([
    work('one', true),
    work('two'),
    locks.run('b', async () => void seen.push('other key')),
  ])
  expect(all.map((each) => each.status)).toEqual(['rejected', 'fulfilled', 'fulfilled'])
  expect(seen.filter((each) => each !== 'other key')).toEqual(['one begins', 'one ends', 'two begins', 'two ends'])
  expect(seen.indexOf('other key')).toBeLessThan(seen.indexOf('two begins'))
  expect(locks.isLocked('a')).toBe(false)
})

test('preemptible work takes only free keys, and ends when somebody wants one of them', async () => {
  const locks = new Locks()
  const seen: string[] = []
  const work = (signal: AbortSignal) =>
    new Promise<void>((resolve) =>
      signal.addEventListener('abort', () => {
        seen.push('ends')
        resolve()
      }),
    )
  const holding = Promise.withResolvers<void>()
  const held = locks.run('a', () => holding.promise)
  expect(locks.runPreemptible(['b', 'a'], work)).toBeUndefined()
  holding.resolve()
  await held
  const aside = locks.runPreemptible(['b', 'a'], work)
  expect(locks.runPreemptible(['b'], work)).toBeUndefined()
  expect(locks.isLocked('a')).toBe(false)
  expect(locks.interrupt(['c'])).toBeUndefined()
  await Promise.all([locks.run('a', async () => void seen.push('wanted it')), aside])
  expect(seen).toEqual(['ends', 'wanted it'])
  expect(locks.interrupt(['a', 'b'])).toBeUndefined()
})

test('a semaphore runs no more than its size at once', async () => {
  const semaphore = new Semaphore(3)
  let running = 0
  let most = 0
  const work = (i: number) =>
    semaphore.run(async () => {
      most = Math.max(most, ++running)
      await new Promise((resolve) => setImmediate(resolve))
      running--
      if (i % 4 === 0) throw new Error('some fail')
    })
  await Promise.allSettled(Array.from({ length: 20 }, (_, i) => work(i)))
  expect(most).toBe(3)
  expect(running).toBe(0)
})
