import { describe, expect, test } from 'vitest'
import type { Memory, MemoryBase, State, Vm } from '../../store/index.ts'
import { emptyState } from '../../store/schema/state.ts'
import type { Box } from '../box.ts'
import { garbage, isRecorded } from '../layer/garbage.ts'
import { noteCopy, ownBaseOf } from './own.ts'

const base = (id: string, of: string | null, createdAt: string): MemoryBase => ({
  id,
  file: `bases/${id}.base`,
  memoryMiB: 512,
  of,
  rest: of && `memory/${id}.rest.save`,
  createdAt,
})
const state: State = {
  ...emptyState('a'),
  memoryBases: {
    bas_a: base('bas_a', 'vm_a', '2026-01-01T00:00:00.000Z'),
    bas_b: base('bas_b', 'vm_a', '2026-01-02T00:00:00.000Z'),
    bas_c: base('bas_c', null, '2026-01-03T00:00:00.000Z'),
  },
  memories: { mem_a: { id: 'mem_a', file: 'memory/mem_a.save', base: 'bas_c' } as Memory },
  vms: { vm_a: { id: 'vm_a', memory: 'mem_a', disk: '' } as Vm },
}

test('the newest base that was made for copies of a VM is used', () => {
  expect(ownBaseOf(state, 'vm_a')?.id).toBe('bas_b')
  expect(ownBaseOf(state, 'vm_b')).toBe(undefined)
})

test('many copies lead to one base at a time, and to another attempt when there was no room', async () => {
  const room = Promise.withResolvers<number>()
  const box = {
    store: { state },
    governor: { now: () => ({ level: 'plenty' }) },
    files: { usage: async () => 1, freeBytes: () => room.promise },
    log: { warn: () => {} },
  } as unknown as Box
  const copy = () => noteCopy(box, 'mem_a', state.memories.mem_a!)
  expect(copy()).toBe(undefined)
  const making = copy()
  expect(making).toBeInstanceOf(Promise)
  expect(copy()).toBe(undefined)
  room.resolve(0)
  await making
  expect(copy()).toBeInstanceOf(Promise)
})

describe('a memory base', () => {
  const gone = (held: string[]) => garbage(state, new Set(held)).memoryBases.map(({ id }) => id)

  test('goes when no memory stands on it and no guest maps it', () => {
    expect(gone([])).toEqual(['bas_a', 'bas_b'])
    expect(gone(['bas_a'])).toEqual(['bas_b'])
    expect(garbage({ ...state, memories: {} }, new Set()).memoryBases).toHaveLength(3)
  })

  test('owns its file, and what is left of the memory that it was made of', () => {
    for (const path of ['bases/bas_a.base', 'memory/bas_a.rest.save'])
      expect(isRecorded(state, path.slice(6, 11), path)).toBe(true)
    expect(isRecorded(state, 'bas_c', 'memory/bas_c.rest.save')).toBe(false)
  })
})
