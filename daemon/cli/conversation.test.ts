import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, expect, test } from 'vitest'
import { type WebSocket, WebSocketServer } from 'ws'
import { type CallerEnd, Conversation, Refused } from './conversation.ts'

const stack = new AsyncDisposableStack()
afterAll(() => stack.disposeAsync())

/** A conversation with what answers as croftd would. */
async function converse(answer: (socket: WebSocket) => unknown, end: Partial<CallerEnd>, mayCome = true) {
  const folder = await mkdtemp(join(tmpdir(), 'croft-'))
  const server = createServer()
  const sockets = new WebSocketServer({ server, verifyClient: () => mayCome })
  sockets.on('connection', (socket) => void answer(socket))
  server.listen(join(folder, 'socket'))
  await once(server, 'listening')
  stack.defer(async () => {
    for (const socket of sockets.clients) socket.terminate()
    sockets.close()
    server.close()
    await rm(folder, { recursive: true })
  })
  return new Conversation({ socketPath: join(folder, 'socket'), argv: ['ls'], terminal: null, uid: -1 }, {
    progress() {},
    ...end,
  } as CallerEnd)
}

test('of what is said, as much is read as the caller takes', async () => {
  const out = Buffer.concat([Buffer.of(1), Buffer.alloc(64 * 1024)])
  let sent = 0
  const release = Promise.withResolvers<void>()
  let taken = 0
  const conversation = await converse(
    async (socket) => {
      for (; sent < 2000; sent++) await new Promise((resolve) => socket.send(out, resolve))
      socket.send(JSON.stringify({ exit: 7 }))
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

test('what is said stays in its order, to the output that it is for, and questions are answered', async () => {
  const heard: string[] = []
  const said: unknown[] = []
  const conversation = await converse(
    async (socket) => {
      socket.on('message', (data) => {
        said.push(JSON.parse(String(data)))
        if (said.length === 2) socket.send(JSON.stringify({ exit: 0 }))
      })
      socket.send(Buffer.concat([Buffer.of(1), Buffer.from('one')]))
      socket.send(Buffer.concat([Buffer.of(2), Buffer.from('two')]))
      socket.send(JSON.stringify({ ask: 'Delete it?' }))
    },
    {
      async write(to, bytes) {
        await delay(heard.length === 0 ? 50 : 0)
        heard.push(`${to} ${bytes}`)
      },
      ask: async (question) => {
        heard.push(question)
        return true
      },
    },
  )
  expect(await conversation.exit).toBe(0)
  expect(heard).toEqual(['out one', 'err two', 'Delete it?'])
  expect(said).toEqual([expect.objectContaining({ argv: ['ls'], uid: -1 }), { answer: true }])
})

test('an answer that breaks off has no exit code, and what came before is printed', async () => {
  let printed = ''
  const conversation = await converse((socket) => socket.send(Buffer.from('\u0001half'), () => socket.terminate()), {
    async write(_, bytes) {
      await delay(50)
      printed += bytes
    },
  })
  expect(await conversation.exit).toBeUndefined()
  expect(printed).toBe('half')
})

test('a refusal, and a daemon that is not there, are errors', async () => {
  const refused = await converse(() => {}, {}, false)
  await expect(refused.exit).rejects.toBeInstanceOf(Refused)
  const nowhere = new Conversation(
    { socketPath: join(tmpdir(), 'croft-nowhere'), argv: [], terminal: null, uid: -1 },
    {} as CallerEnd,
  )
  await expect(nowhere.exit).rejects.toMatchObject({ code: 'ENOENT' })
})
