import { expect, test } from 'vitest'
import { secretIn } from './tokens.ts'

test('finds a Croft token in either kind of header, and ignores an application’s own credentials', () => {
  const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`
  expect(secretIn('Bearer croft_abc')).toBe('croft_abc')
  expect(secretIn('bearer croft_abc')).toBe('croft_abc')
  expect(secretIn(basic('git:croft_abc'))).toBe('croft_abc')
  expect(secretIn(basic(':croft_abc'))).toBe('croft_abc')
  for (const other of ['Bearer abc', basic('croft_abc:secret'), 'Digest croft_abc', '', 'Basic !!!'])
    expect(secretIn(other)).toBeUndefined()
})
