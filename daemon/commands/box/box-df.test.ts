import { expect, test } from 'vitest'
import { type BoxDfResult, boxDfCommand } from './box-df.ts'

const part = {
  ownBytes: 412e6,
  sharedBytes: 1.1e9,
  layerBytes: 0,
  savedMemoryBytes: 212e6,
  createdAt: '2026-11-01T00:00:00Z',
}
const result: BoxDfResult = {
  parts: [
    { ...part, kind: 'vm', id: 'v', group: 'v', name: 'a'.repeat(40) },
    { ...part, kind: 'memory', id: 'm', group: 'v', name: 'a'.repeat(40) },
    { ...part, kind: 'checkpoint', id: 'c', group: 'v', name: 'before-upgrade' },
    { ...part, kind: 'image', id: 'i', group: 'i', name: 'debian' },
    { ...part, kind: 'golden', id: 'g', group: 'i', name: 'debian 4 CPUs 4096 MiB' },
  ],
  croftBytes: 12e9,
  sharedBytes: 1.4e9,
  diskTotalBytes: 250e9,
  diskFreeBytes: 198e9,
  reclaimable: Array.from({ length: 12 }, (_, i) => ({
    command: `croft checkpoint rm ${'a'.repeat(40)} c${i}`,
    bytes: 212e6,
    why: 'taken 25 days ago',
  })),
  forecast: { fullAt: '2026-12-19T12:00:00Z', bytesPerDay: 8.6e9, range: '7d' },
}
const view = { columns: 80, color: false, croft: 'croft', now: new Date('2026-11-26T12:00:00Z') }

test('fits 80 columns, and lists at most ten things that can be freed', () => {
  const text = boxDfCommand.print(result, view)
  for (const line of text.split('\n')) expect([...line].length).toBeLessThanOrEqual(80)
  expect(text).toMatch(/^ {2}before-upgrade +412 MB +1\.1 GB +– +212 MB$/m)
  expect(text).toContain('and 2 more: croft box df --json')
  expect(text).toContain('forecast   full in 23 days at the pace of the last week, 8.6 GB a day')
  expect(boxDfCommand.names?.(result)).toEqual(['a'.repeat(40)])
})

test('also describes an empty box', () => {
  const text = boxDfCommand.print({ ...result, parts: [], reclaimable: [], forecast: null }, view)
  expect(text).toMatch(/^No VMs and no images\.\n\n {2}Croft/)
  expect(text).not.toContain('forecast')
})
