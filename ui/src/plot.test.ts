import fc from 'fast-check'
import { expect, test } from 'vitest'
import { divide, settle } from './plot.ts'

const sizes = fc.array(fc.double({ min: 0.001, max: 1000, noNaN: true }), { minLength: 1, maxLength: 60 })
const aspects = fc.double({ min: 0.2, max: 5, noNaN: true })

test('each parcel has its share of the field, lies inside it, and overlaps no other', () => {
  fc.assert(
    fc.property(sizes, aspects, (given, aspect) => {
      const whole = given.reduce((all, size) => all + size, 0)
      const parcels = divide(
        given.map((size, item) => ({ item, size })),
        aspect,
      )
      expect(parcels.map(({ item }) => item)).toEqual(given.map((_, i) => i))
      for (const { item, left, top, width, height } of parcels) {
        expect(width * height).toBeCloseTo(given[item]! / whole, 8)
        expect(Math.min(left, top)).toBeGreaterThanOrEqual(-1e-9)
        expect(Math.max(left + width, top + height)).toBeLessThanOrEqual(1 + 1e-9)
      }
      for (const a of parcels)
        for (const b of parcels)
          if (a.item < b.item) {
            const across = Math.min(a.left + a.width, b.left + b.width) - Math.max(a.left, b.left)
            const down = Math.min(a.top + a.height, b.top + b.height) - Math.max(a.top, b.top)
            expect(Math.min(across, down)).toBeLessThan(1e-9)
          }
    }),
  )
})

test('equal parcels are nearly squares', () => {
  const parcels = divide(
    Array.from({ length: 12 }, (_, item) => ({ item, size: 1 })),
    4 / 3,
  )
  for (const { width, height } of parcels) expect((width * 4) / 3 / height).toBeCloseTo(1, 5)
})

test('shares of nothing have no parcel', () => {
  expect(divide([{ item: 'a', size: 0 }], 1)).toEqual([])
  expect(divide([{ item: 'a', size: 20 }], 1)).toEqual([{ item: 'a', size: 20, left: 0, top: 0, width: 1, height: 1 }])
  expect(divide([], 1)).toEqual([])
})

test('the used part has its share of the area, and never more than all of it', () => {
  expect(settle(25, 100)).toBe(0.5)
  expect(settle(120, 100)).toBe(1)
  expect(settle(0, 0)).toBe(0)
})
