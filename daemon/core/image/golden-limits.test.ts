import { expect, test } from 'vitest'
import type { Checkpoint } from '../../store/index.ts'
import { surplusGoldens } from './golden-limits.ts'

/** Golden checkpoints with these sizes, the most recently used first. */
const goldens = (...bytes: number[]) =>
  bytes.map((size, i) => ({ id: `${i}`, usedAt: `2026-01-0${9 - i}`, size }) as Checkpoint & { size: number })
const sizeOf = (checkpoint: Checkpoint) => (checkpoint as Checkpoint & { size: number }).size
const gone = (sizes: number[], free: number) =>
  surplusGoldens(goldens(...sizes).toReversed(), sizeOf, free).map(({ id }) => id)

test('the four most recently used golden checkpoints are kept beside the default one', () => {
  expect(gone([1, 1, 1, 1, 1, 1], 1000)).toEqual(['4', '5'])
})

test('they take at most a tenth of what is free', () => {
  expect(gone([40, 40, 30, 1], 1000)).toEqual(['2', '3'])
  expect(gone([40, 40, 20], 1000)).toEqual([])
})

test('the latest stays, however large', () => {
  expect(gone([500, 1], 1000)).toEqual(['1'])
  expect(gone([], 0)).toEqual([])
})
