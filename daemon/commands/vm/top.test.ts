import { expect, test } from 'vitest'
import { checkArgs } from '../kit/check-args.ts'
import { sorted, type TopResult, topCommand } from './top.ts'

const now = new Date('2026-11-26T12:00:00Z')
const at = (minutes: number) => new Date(now.getTime() + minutes * 60_000).toISOString()

const vm = (name: string, more: Partial<TopResult['vms'][0]> = {}): TopResult['vms'][0] => ({
  ...{ id: `vm_${name}`, name, state: 'asleep', cpuPercent: null, memoryBytes: null, diskBytes: 140e6 },
  ...{ use: null, sleepsAt: null, dueSoon: null, sshSessions: 0, governor: null, ...more },
})
const shop = vm('shop', {
  ...{ state: 'awake', cpuPercent: 71.4, memoryBytes: 1.9e9, diskBytes: 6.2e9, sshSessions: 2 },
  use: { why: '2 SSH sessions', at: at(0), now: true },
})
const otter = vm('quiet-otter', {
  ...{ state: 'awake', cpuPercent: 2.3, memoryBytes: 212e6, diskBytes: 88e6, sleepsAt: at(9) },
  use: { why: 'a web request', at: at(-21), now: false },
})
const idea = vm('old-idea')
const box: NonNullable<TopResult['box']> = {
  ...{
    cpus: 2,
    cpuPercent: 38.24,
    memoryTotalBytes: 25.2e9,
    memoryUsedBytes: 4.1e9,
    memorySharedBytes: 2e8,
    swapTotalBytes: 0,
    swapUsedBytes: 0,
  },
  ...{ diskTotalBytes: 400e9, diskFreeBytes: 210e9, diskKeptBytes: 0, pressure: { cpu: 3.14, memory: 0, io: 12.5 } },
  memory: { level: 'plenty', reason: '21 GB of 25 GB left for VMs' },
}
const few: TopResult = { sort: 'cpu', box, vms: [shop, otter, idea] }
const many: TopResult = { ...few, vms: [shop, otter, ...Array.from({ length: 60 }, (_, i) => vm(`idle-${i}`))] }

const at80 = { columns: 80, rows: 24, color: false, croft: 'croft', now }
const linesOf = (result: TopResult, view: object = {}) =>
  topCommand
    .print(result, { ...at80, ...view })
    .replace(/\n$/, '')
    .split('\n')

test('the view at 80 columns', () => {
  expect(linesOf(few)).toEqual([
    'The box   VMs by CPU; Ctrl-C quits',
    '  CPU         ▰▰▰▱▱▱▱▱ 38.2 % of 2',
    '  memory      ▰▱▱▱▱▱▱▱ 4.1 GB of 25 GB',
    '  shared      200 MB of it, by VMs',
    '  disk        ▰▰▰▰▱▱▱▱ 210 GB free',
    '  waits for   CPU 3.1 %, memory 0.0 %, disk 12.5 %',
    '  VMs         2 awake, 1 asleep',
    '',
    'NAME          STATE      CPU   MEMORY     DISK   USED BY',
    'shop          awake     71 %   1.9 GB   6.2 GB   2 SSH sessions',
    'quiet-otter   awake      2 %   212 MB    88 MB   nothing, sleeps in 9 min',
    'old-idea      asleep       –        –   140 MB   –',
  ])
})

test('the view when memory is short', () => {
  const held = { ...otter, governor: { what: 'held to 212 MB', why: 'it uses 160 MB at most' } }
  const memory = { level: 'tight', reason: '2.1 GB of 25 GB left for VMs' } as const
  const lines = linesOf({ ...few, box: { ...box, memory }, vms: [shop, held] }, { columns: 100 })
  expect(lines[3]).toBe('              tight: VMs give back what they don’t use, 2.1 GB of 25 GB left for VMs')
  expect(lines.at(-1)).toBe('quiet-otter   awake     2 %   212 MB    88 MB   held to 212 MB')
  expect(linesOf({ ...few, box: { ...box, memory } })[3]).toBe('              tight: VMs give back what they don’t use')
})

test('the view of a box whose VMs share memory, and of one whose VMs share none', () => {
  const rows = (memorySharedBytes: number) => linesOf({ ...few, box: { ...box, memorySharedBytes } }).slice(2, 4)
  expect(rows(5e8)).toEqual(['  memory      ▰▱▱▱▱▱▱▱ 4.1 GB of 25 GB', '  shared      500 MB of it, by VMs'])
  expect(rows(0)).toEqual(['  memory      ▰▱▱▱▱▱▱▱ 4.1 GB of 25 GB', '  disk        ▰▰▰▰▱▱▱▱ 210 GB free'])
})

test('the view at 40 columns and 12 lines', () => {
  expect(linesOf(many, { columns: 40, rows: 12 })).toEqual([
    'The box   VMs by CPU; Ctrl-C quits',
    '  CPU         ▰▰▰▱▱▱▱▱ 38.2 % of 2',
    '  memory      ▰▱▱▱▱▱▱▱ 4.1 GB of 25 GB',
    '  shared      200 MB of it, by VMs',
    '  disk        ▰▰▰▰▱▱▱▱ 210 GB free',
    '  waits for   CPU 3.1 %, memory 0.0 %',
    '  VMs         2 awake, 60 asleep',
    '',
    'NAME          STATE      CPU   MEMORY',
    'shop          awake     71 %   1.9 GB',
    'quiet-otter   awake      2 %   212 MB',
    '… and 60 more',
  ])
})

test('the view never has more lines than fit, and says how many VMs are left out', () => {
  for (let rows = 1; rows <= 80; rows++) {
    const lines = linesOf(many, { rows })
    expect(lines.length).toBeLessThanOrEqual(rows)
    const listed = lines.filter((line) => /^(shop|quiet-otter|idle-\d+) /.test(line)).length
    const [, more = '0'] = /^… and (\d+) more$/.exec(lines.at(-1)!) ?? []
    if (rows >= 10) expect(listed + Number(more)).toBe(62)
  }
})

test('the view is complete without a terminal, and has colours only when asked to', () => {
  const lines = linesOf(many, { columns: 1000, rows: undefined })
  expect(lines.length).toBe(9 + 62)
  expect(lines[0]).toBe('The box   VMs by CPU')
  expect(lines.join('')).not.toContain('\u001b')
  expect(linesOf(few, { color: true }).join('')).toContain('\u001b[32mawake ')
})

test('the view is shorter without VMs, and for a key to some VMs', () => {
  const pressure = { cpu: null, memory: null, io: null }
  const lines = linesOf({ ...few, box: { ...box, pressure, memorySharedBytes: 0 }, vms: [] })
  expect(lines.slice(4)).toEqual(['  VMs      none', '', 'No VMs. Make one: croft new'])
  expect(linesOf({ ...few, box: null, vms: [idea] })).toEqual([
    'Your VMs   by CPU; Ctrl-C quits',
    '  VMs   1 asleep',
    '',
    'NAME       STATE      CPU   MEMORY     DISK   USED BY',
    'old-idea   asleep       –        –   140 MB   –',
  ])
})

test('VMs are sorted by the chosen column, and VMs without a value by name', () => {
  const all = [idea, otter, vm('asleep-too'), shop, vm('new', { diskBytes: null })]
  const names = (order: Parameters<typeof sorted>[1]) => sorted(all, order).map(({ name }) => name)
  expect(names('cpu')).toEqual(['shop', 'quiet-otter', 'asleep-too', 'new', 'old-idea'])
  expect(names('memory')).toEqual(['shop', 'quiet-otter', 'asleep-too', 'new', 'old-idea'])
  expect(names('disk')).toEqual(['shop', 'asleep-too', 'old-idea', 'quiet-otter', 'new'])
  expect(names('name')).toEqual(['asleep-too', 'new', 'old-idea', 'quiet-otter', 'shop'])
})

test.each([
  [{}, 2000],
  [{ every: '1s' }, 1000],
  [{ every: '60s' }, 60_000],
  [{ every: '5' }, 5000],
])('%j refreshes every %i ms', (given, ms) => {
  expect(topCommand.refreshMs?.(checkArgs(topCommand, given, 'line'))).toBe(ms)
})

test.each(['0s', '61s', '1m', '0.1s', '-1s', ''])('an interval of %j is refused', (every) => {
  expect(() => checkArgs(topCommand, { every }, 'line')).toThrow('1s to 60s')
})
