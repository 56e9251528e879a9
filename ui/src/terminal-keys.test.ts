import { expect, test } from 'vitest'
import { sequenceOf, withCtrl } from './terminal-keys.ts'

test('keys send what a terminal sends for them', () => {
  const plain = { ctrl: false, application: false }
  expect((['Esc', 'Tab', '↑', '←'] as const).map((key) => sequenceOf(key, plain))).toEqual([
    '\x1b',
    '\t',
    '\x1b[A',
    '\x1b[D',
  ])
  expect(sequenceOf('↑', { ctrl: false, application: true })).toBe('\x1bOA')
  expect(sequenceOf('→', { ctrl: true, application: true })).toBe('\x1b[1;5C')
})

test('a letter with Ctrl becomes its control character, and anything else stays', () => {
  expect(['c', 'C', '[', ' ', '1', 'é', '\x1b[A'].map(withCtrl)).toEqual([
    '\x03',
    '\x03',
    '\x1b',
    '\0',
    '1',
    'é',
    '\x1b[A',
  ])
})
