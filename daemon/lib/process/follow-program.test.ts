import { expect, test, vi } from 'vitest'
import { followProgram } from './follow-program.ts'

test('each line of a program is told, it is started again when it ends, and says so', async () => {
  const lines: string[] = []
  let gaps = 0
  const stop = followProgram(
    ['sh', '-c', 'echo one; echo two'],
    (line) => lines.push(line),
    () => gaps++,
  )
  await vi.waitFor(() => expect([lines, gaps]).toEqual([['one', 'two', 'one', 'two'], 1]), { timeout: 5000 })
  stop()
})
