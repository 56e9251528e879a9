import { describe, expect, test } from 'vitest'
import { ago, bytes, seconds } from '../../lib/text/units.ts'
import { table } from './text.ts'

const now = new Date('2026-11-23T12:00:00Z')
const view = { columns: 80, color: false, croft: 'croft', now }

test.each([
  [0, '0 B'],
  [999, '999 B'],
  [1000, '1.0 kB'],
  [9940, '9.9 kB'],
  [9960, '10 kB'],
  [212_000_000, '212 MB'],
  [999_600, '1.0 MB'],
  [1_900_000_000, '1.9 GB'],
])('%i bytes are %s', (count, text) => expect(bytes(count)).toBe(text))

test.each([
  [87, '87 ms'],
  [1432, '1.4 s'],
  [240_000, '4 min'],
])('%i ms are %s', (ms, text) => expect(seconds(ms)).toBe(text))

test.each([
  ['2026-11-23T11:59:30Z', 'just now'],
  ['2026-11-23T11:57:00Z', '3 min ago'],
  ['2026-11-22T12:00:00Z', 'yesterday'],
  ['2026-11-09T12:00:00Z', '14 days ago'],
  ['2027-01-01T00:00:00Z', 'just now'],
])('%s was %s', (iso, text) => expect(ago(iso, now)).toBe(text))

describe('a table', () => {
  const rows = [
    { name: 'web', size: '9 MB' },
    { name: 'quiet-otter', size: '212 MB' },
  ]
  const columns = [
    { title: 'NAME', value: (row: (typeof rows)[0]) => row.name, dress: () => 'bold' as const },
    { title: 'SIZE', value: (row: (typeof rows)[0]) => row.size, right: true },
    { title: 'NOTE', value: () => 'x'.repeat(30) },
  ]
  test('aligns its columns', () => {
    expect(table(rows, columns.slice(0, 2), view)).toBe(
      'NAME            SIZE\nweb             9 MB\nquiet-otter   212 MB\n',
    )
  })
  test('drops columns from the right on a narrow terminal, and never wraps', () => {
    for (const width of [20, 30, 50, 80]) {
      const lines = table(rows, columns, { ...view, columns: width }).split('\n')
      for (const line of lines) expect(line.length).toBeLessThanOrEqual(width)
    }
    expect(table(rows, columns, { ...view, columns: 22 })).not.toContain('NOTE')
  })
  test('has no trailing blanks, even where the last column is empty', () => {
    const from = { title: 'FROM', value: () => '' }
    expect(table(rows, [columns[0]!, from], view)).toBe('NAME          FROM\nweb\nquiet-otter\n')
  })
  test('has colours only when asked to', () => {
    expect(table(rows, columns, view)).not.toContain('\u001b')
    expect(table(rows, columns, { ...view, color: true })).toContain('\u001b[1mweb        \u001b[0m')
  })
})
