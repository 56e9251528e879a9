import fc from 'fast-check'
import { expect, test } from 'vitest'
import { splitWords } from './shell-words.ts'

test.each([
  ['', []],
  ['  ls   --json ', ['ls', '--json']],
  [`new web --comment "a b"`, ['new', 'web', '--comment', 'a b']],
  [`exec web 'ls | wc' "it's" a\\ b ''`, ['exec', 'web', 'ls | wc', "it's", 'a b', '']],
  [`a"b"'c'\\d`, ['abcd']],
  [`"\\"\\\\\\$\\\`\\n"`, ['"\\$`\\n']],
  ['$HOME * ;', ['$HOME', '*', ';']],
])('%j splits into %j', (line, words) => {
  expect(splitWords(line)).toEqual(words)
})

test.each(['"open', "it's", 'end\\'])('%j is refused', (line) => {
  expect(() => splitWords(line)).toThrow(expect.objectContaining({ code: 'misuse' }))
})

test('quoted words come back whole', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'grapheme' })), (words) => {
      const line = words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ')
      expect(splitWords(line)).toEqual(words)
    }),
  )
})
