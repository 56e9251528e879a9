import { expect, test } from 'vitest'
import { localPath } from './authorize.ts'
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
])('%j is not a local path', (to) => expect(localPath(to)).toBe('/'))
test.each(['/', '/a/b?c=d#e', '/@user', '/a//b'])('%s is a local path', (to) => expect(localPath(to)).toBe(to))

test('characters that a header can’t hold are percent-encoded', () => {
  expect(localPath('/日?q=ü 1#\u007f')).toBe('/%E6%97%A5?q=%C3%BC%201#%7F')
  expect(localPath('/\ud800')).toBe('/%EF%BF%BD')
})

const token = 'a'.repeat(43)

test('the token is read from among other cookies', () => {
  expect(tokenIn(`a=1; croft_session=${token}; b=2`, false)).toBe(token)
  expect(tokenIn(`xcroft_session=${token}`, false)).toBeUndefined()
  expect(tokenIn(undefined, false)).toBeUndefined()
})

test.each(['', '/', '/.', '"', token.slice(1), `${token}a`, `${token}=`, `${token.slice(1)}/`])(
  '%j is not a token',
  (value) => {
    expect(tokenIn(`croft_session=${value}`, false)).toBeUndefined()
    expect(tokenIn(`croft_session=${value}; croft_session=${token}`, false)).toBe(token)
  },
)

test('over HTTPS, only the cookie counts that no other host can set', () => {
  expect(tokenIn(`croft_session=evil; __Host-croft_session=${token}`, true)).toBe(token)
  expect(tokenIn('croft_session=evil', true)).toBeUndefined()
})
