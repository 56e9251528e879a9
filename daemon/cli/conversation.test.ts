import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, expect, test } from 'vitest'
import { type CallerEnd, Conversation } from './conversation.ts'

const stack = new AsyncDisposableStack()
afterAll(() => stack.disposeAsync())

/** A conversation with what answers as croftd would. */
async function converse(answer: (response: ServerResponse) => unknown, end: Partial<CallerEnd>) {
  const folder = await mkdtemp(join(tmpdir(), 'croft-'))
  const server = createServer((_, response) => void answer(response))
  server.listen(join(folder, 'socket'))
  await once(server, 'listening')
  stack.defer(async () => {
    server.closeAllConnections()
    server.close()
    await rm(folder, { recursive: true })
  })
  return new Conversation({ socketPath: join(folder, 'socket'), argv: [], terminal: null, uid: -1 }, {
    progress() {},
    ...end,
  } as CallerEnd)
}

test('of what is said, as much is read as the caller takes', async () => {
  const out = `${JSON.stringify({ out: Buffer.alloc(64 * 1024).toString('base64') })}\n`
  let sent = 0
  const release = Promise.withResolvers<void>()
  let taken = 0
  const conversation = await converse(
    async (response) => {
      for (; sent < 2000; sent++) if (!response.write(out)) await once(response, 'drain')
      response.end(`${JSON.stringify({ exit: 7 })}\n`)
    },
    {
      async write(_, bytes) {
        await release.promise
        taken += bytes.length
      },
    },
  )
  await delay(300)
  expect(sent).toBeLessThan(100)
  release.resolve()
  expect(await conversation.exit).toBe(7)
  expect(taken).toBe(2000 * 64 * 1024)
})

test('an answer that breaks off, in a line or in the middle of one, has no exit code', async () => {
  for (const said of ['{"out":"YQ=="}\n', '{"exit":']) {
    const conversation = await converse((response) => response.write(said, () => response.destroy()), {
      write: async () => {},
    })
    expect(await conversation.exit).toBeUndefined()
  }
})
