import { expect, test } from 'vitest'
import type { State } from '../../store/index.ts'
import { emptyState } from '../../store/schema/state.ts'
import { rawMemories } from './compress.ts'

test('saved memory is compressed when it has rested, also when the clock was set back meanwhile', () => {
  const memory = { id: 'm', file: 'memory/m.save', createdAt: '2026-01-02T10:00:00.000Z' }
  const state = { ...emptyState('i'), vms: { v: { memory: 'm' } }, memories: { m: memory } } as unknown as State
  const seen = (time: string) => rawMemories(state, new Date(`2026-01-${time}.000Z`)).map(({ id }) => id)
  expect(seen('02T10:00:02')).toEqual([])
  expect(seen('02T10:00:06')).toEqual(['m'])
  expect(seen('01T10:00:06')).toEqual(['m'])
})
