import { expect, test } from 'vitest'
import type { State } from '../../store/index.ts'
import { emptyState } from '../../store/schema/state.ts'
import { rawMemories } from './compress.ts'

const memory = { id: 'm', file: 'memory/m.save', createdAt: '2026-01-02T10:00:00.000Z' }

test('memory that nothing keeps, that is compressed, or that an operation is about, stays as it is', () => {
  const of = (more: object) =>
    rawMemories({
      ...emptyState('i'),
      memories: { m: memory },
      vms: { v: { memory: 'm' } },
      ...more,
    } as unknown as State)
  expect(of({})).toEqual([memory])
  expect(of({ vms: {} })).toEqual([])
  expect(of({ memories: { m: { ...memory, file: 'memory/m.zst.save' } } })).toEqual([])
  const golden = { id: 'c', kind: 'golden', memory: 'm' }
  expect(of({ checkpoints: { c: golden } })).toEqual([])
})
