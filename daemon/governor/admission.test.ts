import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Admission } from './admission.ts'

const GiB = 2 ** 30
let available: number
let admission: Admission
beforeEach(() => {
  vi.useFakeTimers()
  available = GiB
  admission = new Admission(async () => ({ total: 4 * GiB, available, reserve: 0, some: 0, full: 0 }))
})
afterEach(() => vi.useRealTimers())

test('a hundred at once are all admitted, as many at a time as there is memory for', async () => {
  let running = 0
  let most = 0
  const work = async () => {
    most = Math.max(most, ++running)
    await new Promise((resolve) => setTimeout(resolve, 5000))
    running--
  }
  const all = Promise.all(Array.from({ length: 100 }, () => admission.admit('web', work)))
  await vi.runAllTimersAsync()
  await all
  expect(most).toBe(4)
})

test('without memory, one more is refused after ten seconds, and admitted if there is some before', async () => {
  available = GiB / 10
  const refused = expect(admission.admit('web', async () => {})).rejects.toMatchObject({
    code: 'no-room',
    message: 'There is no memory for web: it needs 268 MB, and the box has 107 MB of 4.3 GB left for VMs.',
  })
  await vi.advanceTimersByTimeAsync(11_000)
  await refused
  const admitted = admission.admit('web', async () => 'done')
  await vi.advanceTimersByTimeAsync(9000)
  available = GiB
  await vi.advanceTimersByTimeAsync(1000)
  expect(await admitted).toBe('done')
})
