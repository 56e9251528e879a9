import { expect, test } from 'vitest'
import { Inbox } from './exec-socket.ts'

test('unread standard input is limited to a little over a megabyte', async () => {
  const inbox = new Inbox()
  const line = Buffer.alloc(96 * 1024)
  let taken = 0
  for (; taken < 4000 && !inbox.crowded; taken++) inbox.put(line)
  expect(taken * 96).toBeLessThan(1200)
  const small = new Inbox()
  for (taken = 0; taken < 100_000 && !small.crowded; taken++) small.put(Buffer.from('a'))
  expect(taken).toBeLessThan(10_000)
  const answers = new Inbox()
  for (taken = 0; taken < 1000 && !answers.crowded; taken++) answers.put({ answer: true })
  expect(taken).toBeLessThan(100)
  const room = answers.room()
  for (; taken > 0; taken--) await answers.answer()
  await room
})
