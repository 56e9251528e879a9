import { readdir } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { TestCaddy } from '../lib/caddy.ts'
import { Client, enter, enterAt } from '../lib/client.ts'
import { type Croft, httpPort, startCroft } from '../lib/croft.ts'
import { servePython } from '../lib/guest-server.ts'

/** Clients that keep their connection: the gate decides about the first requests, and not about later ones. */
let caddy: TestCaddy
let croft: Croft
beforeAll(async () => {
  caddy = await TestCaddy.start()
  croft = await startCroft({ image: 'bare', config: { web: caddy.web } })
  await croft.do('new', 'web')
  await servePython(croft, 'web', saysHeaders, 9000)
}, 600_000)
afterAll(async () => {
  await croft?.[Symbol.asyncDispose]()
  await caddy?.[Symbol.asyncDispose]()
})

/** Returns the headers of the request. */
const saysHeaders = `
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Says(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.path == "/trailers": return self.trailers()
        out = json.dumps(dict(self.headers.items())).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(out)))
        self.end_headers()
        self.wfile.write(out)
    def trailers(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Trailer", "X-Sum")
        self.end_headers()
        self.wfile.write(b"5\\r\\nhello\\r\\n0\\r\\nX-Sum: 42\\r\\n\\r\\n")
    def log_message(self, *args): pass
ThreadingHTTPServer(("0.0.0.0", 9000), Says).serve_forever()
`

/** The grants of a session, or of strangers. */
async function passes({ Cookie }: { Cookie?: string } = {}): Promise<string[]> {
  const all = await readdir(join(caddy.folder, 'passes'))
  return all.filter((name) =>
    Cookie === undefined ? name.startsWith('public~') : name.endsWith(`~${Cookie.split('=')[1]}`),
  )
}

/** Gets a page until the connection has a grant, which is at its second request. */
async function gets(client: Client, headers: { Cookie?: string } = {}): Promise<void> {
  for (let i = 0; i < 2; i++) expect((await client.get('web-9000', '/', headers)).status).toBe(200)
  await vi.waitFor(async () => expect(await passes(headers)).toHaveLength(1), { interval: 20 })
}

/** While the daemon is stopped, only connections with a grant get an answer. */
async function withoutDaemon<T>(work: () => Promise<T>): Promise<T> {
  process.kill(croft.pid, 'SIGSTOP')
  try {
    return await work()
  } finally {
    process.kill(croft.pid, 'SIGCONT')
  }
}

const takenBack = { timeout: 1_000, interval: 50 }

test('a public port is answered without asking, until it is private', async () => {
  await croft.do('share', 'public', 'web', '9000')
  using client = new Client()
  await gets(client)
  const { status, body } = await withoutDaemon(() => client.get('web-9000', '/', { 'X-Croft-User': 'owner' }))
  expect(status).toBe(200)
  expect(body).not.toMatch(/x-croft/i)
  await croft.do('share', 'private', 'web', '9000')
  expect(await passes()).toEqual([])
  // The connection is cut within a second, perhaps just now.
  await vi.waitFor(async () => expect((await client.get('web-9000')).status).toBe(401), takenBack)
})

test('a stranger stays one at a public port, with any cookie', async () => {
  await croft.do('share', 'public', 'web', '9000')
  try {
    using client = new Client()
    await gets(client)
    for (const cookie of [
      'croft_session=',
      'croft_session=/',
      'croft_session=/.',
      'croft_session="',
      'xcroft_session=abc',
      'croft_session=; croft_session=',
      `croft_session=${'a'.repeat(43)}`,
      '__Host-croft_session=',
    ]) {
      const { status, body } = await client.get('web-9000', '/', { Cookie: cookie })
      expect([cookie, status, JSON.parse(body)['X-Croft-User']]).toEqual([cookie, 200, undefined])
    }
  } finally {
    await croft.do('share', 'private', 'web', '9000')
  }
})

test('a request that a client itself spoils takes back no other client’s pass', async () => {
  await croft.do('share', 'public', 'web', '9000')
  try {
    using client = new Client()
    await gets(client)
    const spoils = connect(httpPort, '127.0.0.1')
    spoils.write('POST / HTTP/1.1\r\nHost: web-9000.localhost\r\nTransfer-Encoding: chunked\r\n\r\nnot a length\r\n')
    expect(await text(spoils)).toMatch(/^HTTP\/1\.1 [45]/)
    expect(await passes()).toHaveLength(1)
  } finally {
    await croft.do('share', 'private', 'web', '9000')
  }
})

test('a signed-in client is answered without asking the gate, with all headers for the VM, until it is signed out', async () => {
  using client = new Client()
  const session = await enter(croft, 'web-9000')
  await gets(client, session)
  const cookies = { Cookie: `a=1; ${session.Cookie}; b=2` }
  const { body } = await withoutDaemon(() => client.get('web-9000', '/', { ...cookies, 'X-Croft-Name': 'somebody' }))
  expect(JSON.parse(body)).toMatchObject({ 'X-Croft-User': 'owner', Cookie: 'a=1; b=2' })
  expect(body).not.toContain('X-Croft-Name')
  const ours = session.Cookie
  for (const [sent, left] of [
    [ours, undefined],
    [`${ours}; a=1`, 'a=1'],
    [`a=1;${ours}`, 'a=1'],
    [`${ours}; croft_session=x; a=1; croft_session=y; b=2`, 'a=1; b=2'],
  ])
    expect(JSON.parse((await client.get('web-9000', '/', { Cookie: sent! })).body).Cookie).toBe(left)
  const app = await client.get('web-9000', '/', { ...session, Authorization: 'Bearer of-the-app' })
  expect(JSON.parse(app.body)).toMatchObject({ Authorization: 'Bearer of-the-app', 'X-Croft-User': 'owner' })
  await croft.do('session', 'end')
  expect(await passes(session)).toEqual([])
  await vi.waitFor(async () => expect((await client.get('web-9000', '/', session)).status).toBe(401), takenBack)
})

test('signing in on the way to a path that no header can hold leads there', async () => {
  const { status, headers } = await enterAt(croft, 'web-9000', '/日?q=ü')
  expect([status, headers.location]).toEqual([303, '/%E6%97%A5?q=%C3%BC'])
})

test('an address that leads elsewhere does so immediately', async () => {
  using client = new Client()
  const session = await enter(croft, 'web')
  await croft.do('share', 'port', 'web', '9000')
  for (let i = 0; i < 2; i++) expect((await client.get('web', '/', session)).status).toBe(200)
  await vi.waitFor(async () => expect(await passes(session)).toHaveLength(1), { interval: 20 })
  await croft.do('share', 'port', 'web', '9001')
  expect((await client.get('web', '/', session)).status).toBe(502)
})

test('trailers come through, asked or not', async () => {
  using client = new Client()
  const session = await enter(croft, 'web-9000')
  for (let i = 0; i < 3; i++)
    expect(await client.get('web-9000', '/trailers', session)).toMatchObject({
      body: 'hello',
      trailers: { 'x-sum': '42' },
    })
  expect(await passes(session)).toHaveLength(1)
})

test('a pass is no other connection’s, host’s or session’s', async () => {
  using client = new Client()
  using stranger = new Client()
  const session = await enter(croft, 'web-9000')
  await gets(client, session)
  const token = session.Cookie.split('=')[1]!
  for (const cookie of [
    '',
    'croft_session=',
    'croft_session=*',
    `croft_session=${token.slice(0, -1)}?`,
    `croft_session=x/../${(await passes(session))[0]}`,
    `croft_session=../../${(await passes(session))[0]}/x`,
  ])
    expect((await client.get('web-9000', '/', { Cookie: cookie })).status, cookie).toBe(401)
  expect((await client.get('web', '/', session)).status).toBe(401)
  expect((await client.get('web-*', '/', session)).status).toBe(404)
  expect((await stranger.get('web-9000')).status).toBe(401)
  expect((await client.get('web-9000', '/.croft/link?key=none', session)).status).toBe(410)
  expect(await passes(session)).toHaveLength(1)
  expect(await passes()).toEqual([])
})

test('a VM that has gone to sleep wakes for the next request of a client that had a grant', async () => {
  using client = new Client()
  const session = await enter(croft, 'web-9000')
  await gets(client, session)
  await croft.do('sleep', 'web')
  expect(await passes(session)).toEqual([])
  expect((await client.get('web-9000', '/', session)).status).toBe(200)
})
