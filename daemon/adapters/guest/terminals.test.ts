import { expect, test } from 'vitest'
import type { Vm } from '../../store/index.ts'
import { Terminal } from './terminals.ts'

test('input before ssh answers is kept, up to a limit', async () => {
  const over = Promise.withResolvers<Terminal>()
  const never = ['-F', 'none', '-o', 'ProxyCommand=sleep 1000', 'web']
  const terminal = new Terminal({ id: 'vm' } as Vm, never, { columns: 80, rows: 24 }, over.resolve)
  const typed = new Uint8Array(200 * 1024).fill(97)
  const before = process.memoryUsage.rss()
  for (let i = 0; i < 2000; i++) terminal.write(typed)
  const grown = (process.memoryUsage.rss() - before) / 2 ** 20
  terminal.end()
  expect(grown).toBeLessThan(64)
  await over.promise
})
