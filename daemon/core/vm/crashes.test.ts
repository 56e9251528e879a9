import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Locks } from '../../lib/async/locks.ts'
import type { State, Vm } from '../../store/index.ts'
import { emptyState } from '../../store/schema/state.ts'
import type { Box } from '../box.ts'
import { Live } from '../live.ts'
import { keepRestarting } from './crashes.ts'

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }))
afterEach(() => void vi.useRealTimers())

/** A box with one crashed VM, which crashes again at each start. */
function boxWithOne(change: Partial<Vm> = {}) {
  const vm = { id: 'v1', uuid: 'u1', name: 'web', phase: 'ready', power: 'on', restart: 'on-crash', memory: null }
  const state = { ...emptyState('test'), vms: { v1: { ...vm, ...change } } } as unknown as State
  const live = new Live()
  const crash = () => live.apply({ type: 'stopped', uuid: 'u1', how: 'crashed', reason: 'panicked' })
  const starts: number[] = []
  const box = {
    ...{ store: { state }, live, locks: new Locks() },
    activity: { during: (_: unknown, work: Promise<unknown>) => work },
    governor: {
      async admit() {
        starts.push(Math.round(performance.now() - began))
        live.apply({ type: 'started', uuid: 'u1', reason: 'booted' })
        crash()
        throw new Error('web ended while starting.')
      },
    },
    log: { error() {} },
  } as unknown as Box
  const began = performance.now()
  return { box, live, crash, starts, stop: keepRestarting(box) }
}

test('a VM that crashes again and again is started after a second, then after twice as long, up to five minutes', async () => {
  const { crash, starts, stop } = boxWithOne()
  crash()
  await vi.advanceTimersByTimeAsync(1300_000)
  stop()
  const waits = starts.map((at, i) => (at - (starts[i - 1] ?? 0)) / 1000)
  expect(waits).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300])
})

test('a VM that ran for a while is started after a second', async () => {
  const { live, crash, starts, stop } = boxWithOne()
  crash()
  await vi.advanceTimersByTimeAsync(4_000)
  live.apply({ type: 'started', uuid: 'u1', reason: 'booted' })
  await vi.advanceTimersByTimeAsync(700_000)
  crash()
  await vi.advanceTimersByTimeAsync(1_500)
  stop()
  expect(starts).toEqual([1_000, 3_000, 705_000])
})

test.each([
  ['is not set to restart', { restart: 'never' as const }],
  ['its owner has stopped', { power: 'off' as const }],
])('a crashed VM that %s stays as it is', async (_, change) => {
  const { crash, starts, stop } = boxWithOne(change)
  crash()
  await vi.advanceTimersByTimeAsync(10_000)
  stop()
  expect(starts).toEqual([])
})
