import { expect, test } from 'vitest'
import { runProgram } from '../../lib/process/run.ts'
import { readsTakeMemory } from './untouched-memory.ts'

test('another program agrees whether reading untouched memory takes memory', async () => {
  const script = `
import mmap
size = 32 << 20
fresh = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
resident = lambda: int(open("/proc/self/statm").read().split()[1]) * mmap.PAGESIZE
before = resident()
for at in range(0, size, mmap.PAGESIZE): fresh[at]
print(resident() - before > size / 2)`
  const { stdout } = await runProgram('python3', ['-c', script])
  expect(readsTakeMemory()).toBe(stdout.trim() === 'True')
})
