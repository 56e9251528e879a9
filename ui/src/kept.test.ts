import { expect, test } from 'vitest'
import { kept } from './kept.ts'

const vm = (id: string, state = 'stopped') => ({ id, state, tags: ['a'], web: { port: null } })

test('unchanged items stay the same objects, and so does the list when nothing differs', () => {
  const before = [vm('1'), vm('2')]
  expect(kept(before, [vm('1'), vm('2')])).toBe(before)
  const after = kept(before, [vm('1'), vm('2', 'awake'), vm('3')])
  expect(after).toEqual([vm('1'), vm('2', 'awake'), vm('3')])
  expect(after[0]).toBe(before[0])
  expect(kept(before, [vm('2'), vm('1')])).toEqual([vm('2'), vm('1')])
  expect(kept(before, [vm('1')])).toEqual([vm('1')])
  expect(kept(before, [vm('1'), { ...vm('2'), tags: [] as string[] }])[1]!.tags).toEqual([])
})
