import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import type { Client, ClientChannel, ServerChannel } from 'ssh2'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { ssh2 } from './ssh2-patches.ts'

interface Inside {
  _protocol: { _handlers: { CHANNEL_WINDOW_ADJUST(): void } }
}

/** Both ends of a session, as ssh2 channels. */
let server: InstanceType<typeof ssh2.Server>
let client: Client
let asked: ServerChannel
let asking: ClientChannel
let command = ''

beforeEach(async () => {
  const taken = Promise.withResolvers<ServerChannel>()
  server = new ssh2.Server({ hostKeys: [ssh2.utils.generateKeyPairSync('ecdsa', { bits: 256 }).private] }, (its) => {
    its.on('error', () => {})
    its.on('authentication', (request) => request.accept())
    its.on('session', (accept) =>
      accept().once('exec', (take, _, what) => {
        command = what.command
        taken.resolve(take())
      }),
    )
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  client = new ssh2.Client()
  client.connect({ host: '127.0.0.1', port: (server.address() as AddressInfo).port, username: 'dev' })
  await once(client, 'ready')
  asking = await new Promise((resolve, reject) =>
    client.exec('x'.repeat(200_000), (error, channel) => (error ? reject(error) : resolve(channel))),
  )
  asked = await taken.promise
})
afterEach(() => {
  client.end()
  server.close()
})

/** Resolves when everything that either end sent has arrived at the other. */
const settled = async () => {
  const pinged = () => new Promise<void>((resolve) => client.forwardIn('', 0, () => resolve()))
  for (let i = 0; i < 3; i++) await pinged()
}

test('a command may have 200,000 bytes', () => {
  expect(command.length).toBe(200_000)
})

test('the window of a closed channel is not opened again', async () => {
  const opened = vi.spyOn((client as unknown as Inside)._protocol._handlers, 'CHANNEL_WINDOW_ADJUST')
  asking.write(Buffer.alloc(4 * 2 ** 20))
  await settled()
  opened.mockClear()
  asked.close()
  asked.resume()
  await settled()
  expect(opened).not.toHaveBeenCalled()
})

test('unread data of one output still counts when the other is read', async () => {
  asking.stderr.resume()
  for (let i = 0; i < 100; i++) {
    asked.write(Buffer.alloc(32 * 1024))
    asked.stderr.write('x')
    await settled()
  }
  expect(asking.readableLength).toBeLessThanOrEqual(64 * 1024)
  expect(asked.writableLength).toBeGreaterThan(2 ** 20)
  let size = 0
  asking.on('data', (chunk: Buffer) => {
    size += chunk.length
  })
  asked.end()
  await once(asking, 'end')
  expect(size).toBe(100 * 32 * 1024)
})

test('windows grow while everything is read, and are reopened until everything has arrived', async () => {
  let size = 0
  asking.on('data', (chunk: Buffer) => {
    size += chunk.length
  })
  asking.stderr.on('data', (chunk: Buffer) => {
    size += chunk.length
  })
  for (let i = 0; i < 100; i++) {
    const both = [asked, asked.stderr].filter((each) => !each.write(Buffer.alloc(100_000)))
    await Promise.all(both.map((each) => once(each, 'drain')))
  }
  asked.end()
  await once(asking, 'end')
  expect(size).toBe(200 * 100_000)
  expect((asking as unknown as { size: number }).size).toBe(2 * 2 ** 20)
})
