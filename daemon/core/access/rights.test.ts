import { expect, test, vi } from 'vitest'
import { emptyState } from '../../store/schema/state.ts'
import { nextEnd, watchRights } from './rights.ts'

const at = (ms: number) => new Date(ms).toISOString()

/** A store that holds a state, and what is told of each change. */
function storeOf(first: object) {
  const watchers = new Set<(before: never) => void>()
  const store = {
    state: { ...emptyState('test'), ...first },
    watch(watcher: (before: never) => void) {
      watchers.add(watcher)
      return () => watchers.delete(watcher)
    },
    set(change: object) {
      const before = store.state as never
      store.state = { ...store.state, ...change }
      for (const watcher of watchers) watcher(before)
    },
  }
  return store
}

test('rights are told when they change, and when the time of one is over', () => {
  vi.useFakeTimers({ now: 1_000_000 })
  const store = storeOf({ links: { l: { expiresAt: at(1_005_000) } }, sessions: { s: { expiresAt: at(1_009_000) } } })
  let told = 0
  const stop = watchRights(store as never, () => told++)
  store.set({ samePages: true })
  expect(told).toBe(0)
  store.set({ tokens: { t: { expiresAt: null } } })
  expect(told).toBe(1)
  vi.advanceTimersByTime(4_990)
  expect(told).toBe(1)
  vi.advanceTimersByTime(20)
  expect(told).toBe(2)
  store.set({ sessions: { s: { expiresAt: at(1_030_000) } } })
  expect(told).toBe(3)
  vi.advanceTimersByTime(20_000)
  expect(told).toBe(3)
  vi.advanceTimersByTime(10_000)
  expect(told).toBe(4)
  stop()
  store.set({ keys: { k: {} } })
  expect([told, vi.getTimerCount()]).toEqual([4, 0])
  vi.useRealTimers()
})

test('what ends next is what ends soonest and has not ended', () => {
  const ends = { sessions: { a: { expiresAt: at(50) }, b: { expiresAt: at(300) } }, tokens: { t: { expiresAt: null } } }
  expect(nextEnd({ ...emptyState('test'), ...ends } as never, 100)).toBe(300)
  expect(nextEnd(emptyState('test'), 100)).toBeUndefined()
})
