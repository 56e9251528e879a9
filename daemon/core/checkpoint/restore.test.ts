import { expect, test } from 'vitest'
import type { Checkpoint } from '../../store/index.ts'
import { checkpointsOf } from './find.ts'
import { pruned } from './restore.ts'

test('the checkpoint that a restore has just taken is kept, even if the clock was set back by an hour', () => {
  const taken = ['k1', ...Array.from({ length: 7 }, (_, i) => `before-${i + 1}`)].map(
    (id, i): Partial<Checkpoint> => ({
      id,
      vm: 'vm_1',
      kind: id === 'k1' ? 'asked' : 'before-restore',
      createdAt: `2026-11-24T${i === 7 ? 21 : 22}:0${i}:00.000Z`,
    }),
  )
  const checkpoints = Object.fromEntries(taken.map((each) => [each.id, each as Checkpoint]))
  const kept = pruned({ checkpoints }, { id: 'vm_1' })
  expect(Object.keys(kept)).toEqual(['k1', 'before-3', 'before-4', 'before-5', 'before-6', 'before-7'])
  expect(checkpointsOf({ checkpoints }, { id: 'vm_1' }).map(({ id }) => id)).toEqual(taken.map(({ id }) => id))
})
