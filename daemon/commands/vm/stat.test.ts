import { expect, test } from 'vitest'
import type { State } from '../../store/index.ts'
import { checkScope } from '../kit/scope.ts'
import { historyLines, sparklineText } from '../results/history.ts'
import { statCommand } from './stat.ts'

test('a sparkline goes from zero to its maximum, with gaps', () => {
  expect(sparklineText([0, 1, null, null, 7, 7], 3)).toBe('▂ █')
  expect(sparklineText([0, 0, 0], 3)).toBe('▁▁▁')
})

test('history fits 80 columns', () => {
  const values = Array.from({ length: 360 }, (_, i) => (i < 100 ? null : 123_456_789 + i * 1e6))
  const names = ['cpuPercent', 'receivedBytesPerSecond', 'diskWrittenBytesPerSecond', 'memoryPressure']
  const percents = values.map((value) => value && 1600)
  const series = Object.fromEntries(names.map((name) => [name, name.endsWith('Second') ? values : percents]))
  const lines = historyLines({ stepSeconds: 10, from: 0, series }, '24h', {
    columns: 80,
    croft: 'croft',
    color: false,
    now: new Date(),
  })
  expect(lines).toContain('MAX')
  for (const line of lines.split('\n')) expect([...line].length).toBeLessThanOrEqual(80)
})

test('a caller limited to one VM sees that VM, and not the box', () => {
  const scope = { vm: 'v1', tag: null, commands: null }
  const state = { vms: { v1: { id: 'v1', name: 'web' }, v2: { id: 'v2', name: 'db' } } } as unknown as State
  expect(() => checkScope(scope, statCommand, { vm: 'web', range: '1h' }, state)).not.toThrow()
  expect(() => checkScope(scope, statCommand, { range: '1h' }, state)).toThrow('limited to web')
  expect(() => checkScope(scope, statCommand, { vm: 'db' }, state)).toThrow('limited to web')
})
