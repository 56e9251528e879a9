import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { publishedKeys } from './published-keys.ts'

async function serve(listener: RequestListener): Promise<AsyncDisposable & { base: string }> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    base: `http://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
    },
  }
}

test('the keys of a user come from their address', async () => {
  await using site = await serve((request, response) => response.end(`ssh-ed25519 AAAA of ${request.url}\n`))
  expect(await publishedKeys(site.base, 'ada')).toBe('ssh-ed25519 AAAA of /ada.keys\n')
})

test.each<[string, RequestListener, string, RegExp]>([
  ['nobody of that name', (_, response) => response.writeHead(404).end('no'), 'not-found', /^There is no ada at/],
  ['a user without keys', (_, response) => response.end('\n'), 'not-found', /^ada has no keys/],
  ['trouble there', (_, response) => response.writeHead(500).end(), 'unavailable', /it answered with 500/],
  [
    'somebody sent elsewhere',
    (_, response) => response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end(),
    'unavailable',
    /it answered with 302/,
  ],
  [
    'more than anybody has',
    (_, response) => {
      for (let i = 0; i < 20; i++) response.write('x'.repeat(8192))
      response.end()
    },
    'too-large',
    /more than 64 KiB/,
  ],
  [
    'an answer that breaks off',
    (_, response) => response.destroy(),
    'unavailable',
    /couldn't get the keys of ada from 127/,
  ],
])('%s is reported as such', async (_, listener, code, message) => {
  await using site = await serve(listener)
  await expect(publishedKeys(site.base, 'ada')).rejects.toMatchObject({ code, message: expect.stringMatching(message) })
})

test('without a network, the error says why, and what to do', async () => {
  const gone = await serve(() => {})
  await gone[Symbol.asyncDispose]()
  await expect(publishedKeys(gone.base, 'ada')).rejects.toMatchObject({
    code: 'unavailable',
    message: expect.stringMatching(/^Croft couldn't get the keys of ada from 127\.0\.0\.1:\d+: .*ECONNREFUSED.*\.$/),
    hint: expect.stringContaining('croft key add -'),
  })
})
