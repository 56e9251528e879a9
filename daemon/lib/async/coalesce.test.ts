import pino from 'pino'
import { expect, test, vi } from 'vitest'
import { coalesce } from './coalesce.ts'

test('one run at a time, one more for all who asked meanwhile, and another after a failure', async () => {
  const turns = [Promise.withResolvers<void>(), Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  let runs = 0
  const ask = coalesce('do it', 10, pino({ level: 'silent' }), () => turns[runs++]!.promise)
  ask()
  ask()
  ask()
  expect(runs).toBe(1)
  turns[0]!.resolve()
  await vi.waitFor(() => expect(runs).toBe(2))
  turns[1]!.reject(new Error('not now'))
  await vi.waitFor(() => expect(runs).toBe(3))
  turns[2]!.resolve()
})
