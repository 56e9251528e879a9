import { expect, test } from 'vitest'
import { bounded, croft, entryOf } from './entry.ts'

const key = 'dGhlcmUgaXMgbm90aGluZyB0byBzZWUgaGVyZS4uLi4'

test.each([
  ['croft token revoke croft_BehkK7IJRKwBMwPFGbSg', 'croft token revoke …'],
  [`croft share revoke https://web.x/.croft/link?key=${key}`, 'croft share revoke https://web.x/.croft/link?key=…'],
  [`croft share revoke ${key}`, 'croft share revoke …'],
  ['croft share revoke lnk_4tq2x7h6ma', 'croft share revoke lnk_4tq2x7h6ma'],
  [`croft key rm SHA256:${key}`, `croft key rm SHA256:${key}`],
])('%s is kept as %s', (line, kept) => {
  expect(bounded(line, 400)).toBe(kept)
})

test('a guest’s console output is not kept', () => {
  const says = 'web ended while starting. Its console ends with:\nroot password: sesame'
  expect(entryOf({ ...croft, what: 'started it', says }, 1, new Date()).says).toBe('web ended while starting.')
})
