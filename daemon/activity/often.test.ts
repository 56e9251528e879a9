import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { croft, type Note } from './entry.ts'
import { Often } from './often.ts'

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

const vmOf = (n: number) => [{ id: `vm_${n}`, name: `vm${n}` }]
const tries: Note = {
  by: { kind: 'stranger', name: '', id: null },
  from: { way: 'web', address: '203.0.113.9', agent: null },
  what: 'tried a link',
  result: 'refused',
}

test('a stranger does not fill the log by trying every VM, from many addresses', () => {
  const written: number[] = []
  const often = new Often((_, count) => written.push(count))
  const taken = Array.from({ length: 1000 }, (_, i) =>
    often.takes({ ...tries, from: { way: 'web', address: `10.0.0.${i}`, agent: `${i}` }, vms: vmOf(i) }),
  )
  expect(taken.filter(Boolean)).toHaveLength(20)
  vi.advanceTimersByTime(11 * 60_000)
  expect(written).toEqual([980])
})

test('what Croft does to many VMs is written for each of them', () => {
  const often = new Often(() => {})
  const taken = Array.from({ length: 1000 }, (_, i) => often.takes({ ...croft, what: 'slept', vms: vmOf(i) }))
  expect(taken.every(Boolean)).toBe(true)
  often.close()
})
