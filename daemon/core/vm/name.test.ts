import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { checkVmName, closest, inventName } from './name.ts'

describe('VM names', () => {
  test.each(['a', 'web', 'quiet-otter', 'v2', 'a1-b2', 'x'.repeat(40), 'web-8080a'])('%s is allowed', (name) => {
    expect(checkVmName(name)).toBe(name)
  })
  test.each(['', 'Web', '1a', '-a', 'a-', 'a--b', 'a_b', 'web-80', 'a.b', 'x'.repeat(41), 'croft', 'www', 'a\n'])(
    '%j will not',
    (name) => {
      expect(() => checkVmName(name)).toThrow(
        expect.objectContaining({ code: 'bad-name', hint: expect.stringMatching(/^For example: \S+$/) }),
      )
    },
  )
  test('suggested names are always allowed', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 60 }), (text) => {
        try {
          checkVmName(text)
        } catch (error) {
          checkVmName((error as { hint: string }).hint.slice('For example: '.length))
        }
      }),
    )
  })
  test('invented names are allowed and free', () => {
    const taken = new Set<string>()
    for (let i = 0; i < 3000; i++) {
      const name = inventName((candidate) => taken.has(candidate))
      expect(checkVmName(name)).toBe(name)
      taken.add(name)
    }
    expect(taken.size).toBe(3000)
  })
})

test('the closest known word is found when it is close, and not otherwise', () => {
  const known = ['web', 'shop', 'quiet-otter']
  expect(closest('wbe', known)).toBe('web')
  expect(closest('quietotter', known)).toBe('quiet-otter')
  expect(closest('database', known)).toBeUndefined()
  expect(closest('', known)).toBeUndefined()
})
