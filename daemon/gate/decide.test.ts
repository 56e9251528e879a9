import { expect, test } from 'vitest'
import { localPath } from './decide.ts'
import { tokenIn } from './index.ts'

test.each([
  '//evil.example',
  '/\\evil.example',
  'https://evil.example',
  'evil',
  '',
  null,
  '/a\nb',
  '\\\\evil',
  '/\t/evil',
])('%j is no path to be sent to', (to) => expect(localPath(to)).toBe('/'))
test.each(['/', '/a/b?c=d#e', '/@user', '/a//b'])('%s is', (to) => expect(localPath(to)).toBe(to))

test('the token is read from among other cookies', () => {
  expect(tokenIn('a=1; croft_session=abc; b=2', false)).toBe('abc')
  expect(tokenIn('xcroft_session=abc', false)).toBeUndefined()
  expect(tokenIn(undefined, false)).toBeUndefined()
})

test('by HTTPS only the cookie counts that no other host can have set', () => {
  expect(tokenIn('croft_session=evil; __Host-croft_session=abc', true)).toBe('abc')
  expect(tokenIn('croft_session=evil', true)).toBeUndefined()
})
