import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { startedAt } from './caddy-process.ts'

test('the start of a process is read from /proc, whatever it calls itself', async () => {
  const line = await readFile('/proc/self/stat', 'utf8')
  const uptime = Number((await readFile('/proc/uptime', 'utf8')).split(' ')[0])
  expect(uptime - startedAt(line)).toBeCloseTo(process.uptime(), 0)
  expect(startedAt(line.replace(/\(.*\)/, '(a ) b (1 2)'))).toBe(startedAt(line))
})
