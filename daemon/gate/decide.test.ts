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
  expect(tokenIn('a=1; croft_session=abc; b=2')).toBe('abc')
  expect(tokenIn('xcroft_session=abc')).toBeUndefined()
  expect(tokenIn(undefined)).toBeUndefined()
})
