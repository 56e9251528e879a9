import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { Agent, type IncomingMessage, request } from 'node:http'
import { get as secureGet } from 'node:https'
import { connect, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { TestCaddy } from '../lib/caddy.ts'
import { Client, enter } from '../lib/client.ts'
import { type Croft, httpPort, httpsPort, startCroft } from '../lib/croft.ts'
import { deep } from '../lib/deep.ts'
import { serveIn } from '../lib/guest-server.ts'
import * as http2 from '../lib/http2-by-hand.ts'
import { residentMb } from '../lib/process.ts'

/**
 * The path of a request to a VM, when something on it breaks, hangs or lies. The VM's port 9000 is public, 9001 is not.
 */
let caddy: TestCaddy
let croft: Croft
beforeAll(async () => {
  caddy = await TestCaddy.start()
  croft = await startCroft({ image: 'bare', config: { web: caddy.web } })
  await croft.do('new', 'web')
  await serveIn(croft, 'web', 9000, 9001)
  await croft.do('share', 'public', 'web', '9000')
  unfinished = untilClosed(await raw(`GET / HTTP/1.1\r\nHost: ${host}\r\nX-Slow: `))
  late = statusOf('/slow')
  late.catch(() => {})
}, 600_000)
afterAll(async () => {
  await croft?.[Symbol.asyncDispose]()
  await caddy?.[Symbol.asyncDispose]()
})

/** Started before all tests and checked when they end, while other tests run. */
let unfinished: Promise<number>
let late: Promise<number>

const label = 'web-9000'
const host = `${label}.localhost:${httpPort}`
const wait = { timeout: 20_000, interval: 20 }

interface Asked {
  agent?: Agent
  headers?: Record<string, string>
  /** By default GET, or POST when there is a body. */
  method?: string
  body?: string | undefined
}

/** Sends one request, with an agent if its connection is to be kept. */
function ask(
  path = '/',
  { body, method = body ? 'POST' : 'GET', headers, agent }: Asked = {},
): Promise<IncomingMessage> {
  const to = { host: '127.0.0.1', port: httpPort, path, method }
  return new Promise((resolve, reject) => {
    request({ ...to, agent, headers: { Host: host, ...headers }, timeout: 60_000 }, resolve)
      .on('error', reject)
      .on('timeout', () => reject(new Error('no answer within a minute')))
      .end(body)
  })
}
const statusOf = async (path?: string, asked?: Asked): Promise<number> => {
  const response = await ask(path, asked)
  response.resume()
  await once(response, 'end')
  return response.statusCode!
}

interface Seen {
  port: number
  target: string
  headers: [string, string][]
  body: string
}

/** Returns the requests that the VM received since the last call. */
async function seen(): Promise<Seen[]> {
  using client = new Client()
  return JSON.parse((await client.get(label, '/seen')).body)
}

async function raw(...pieces: (string | Buffer)[]): Promise<Socket> {
  const socket = connect(httpPort, '127.0.0.1')
  socket.on('error', () => {})
  await once(socket, 'connect')
  for (const piece of pieces) socket.write(piece)
  return socket
}

/** Reads until the connection closes, or nothing arrives for a while. */
async function answerOf(socket: Socket): Promise<string> {
  let said = ''
  socket.on('data', (chunk) => (said += chunk))
  socket.setTimeout(700, () => socket.destroy())
  await once(socket, 'close')
  return said
}

/** @returns ms */
async function untilClosed(socket: Socket): Promise<number> {
  const began = performance.now()
  await once(socket.resume(), 'close')
  return performance.now() - began
}

test('a client that never finishes its headers delays nobody', async () => {
  const drips = await Promise.all(Array.from({ length: 300 }, () => raw(`GET / HTTP/1.1\r\nHost: ${host}\r\nX-Slow: `)))
  const began = performance.now()
  expect(await statusOf()).toBe(200)
  expect(performance.now() - began).toBeLessThan(5_000)
  for (const socket of drips) socket.destroy()
})

test('a body that comes in drips is waited for, and arrives whole', async () => {
  await seen()
  const socket = await raw(`POST /drips HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\nContent-Length: 100\r\n\r\n`)
  for (let i = 0; i < 10; i++) {
    socket.write('x'.repeat(10))
    expect(await statusOf()).toBe(200)
  }
  expect(await answerOf(socket)).toMatch(/^HTTP\/1\.1 200 /)
  expect((await seen()).find(({ target }) => target === '/drips')?.body).toBe('x'.repeat(100))
})

/** Asks whether it may send a body (`Expect: 100-continue`), and sends it each time that it may. */
async function offer(path: string, body: Buffer): Promise<{ status: number; consents: number }> {
  let consents = 0
  const headers = { Host: host, Expect: '100-continue', 'Content-Length': body.length }
  const put = request({ host: '127.0.0.1', port: httpPort, path, method: 'PUT', headers })
  put.on('continue', () => {
    consents++
    put.write(body)
  })
  put.flushHeaders()
  const [response]: IncomingMessage[] = await once(put, 'response')
  response!.resume()
  await once(response!, 'end')
  put.destroy()
  return { status: response!.statusCode!, consents }
}

test('a body that the VM’s server consents to is sent once, and arrives as it was', async () => {
  const body = randomBytes(300_000)
  await seen()
  expect(await offer('/', body)).toEqual({ status: 200, consents: 1 })
  expect((await seen())[0]!.body).toBe(body.toString('latin1'))
})

test('one that it refuses is not sent', async () => {
  await seen()
  expect(await offer('/denied', Buffer.alloc(5_000_000))).toEqual({ status: 401, consents: 0 })
  await vi.waitFor(async () => expect(await seen()).toMatchObject([{ target: '/denied', unread: 0 }]), wait)
})

test('a VM’s events come as it sends them', async () => {
  const events = await ask('/events')
  const began = performance.now()
  for (let i = 0; i < 5; i++) await once(events, 'data')
  expect(performance.now() - began).toBeLessThan(5_000)
  events.destroy()
})

test('a client that reads slowly delays nobody, and what it does not read stays in the VM', async () => {
  const reader = await ask('/big')
  await once(reader, 'data')
  reader.pause()
  await delay(1_000)
  const [before, began] = [await residentMb(caddy.pid), performance.now()]
  expect(await statusOf()).toBe(200)
  expect(performance.now() - began).toBeLessThan(5_000)
  await delay(1_000)
  expect((await residentMb(caddy.pid)) - before).toBeLessThan(20)
  reader.destroy()
})

test('a port on which nothing listens gets an answer, which tells the owner what does listen', async () => {
  await croft.do('share', 'public', 'web', '7777')
  using client = new Client()
  const html = { Accept: 'text/html' }
  expect(await client.get('web-7777', '/', html)).toMatchObject({
    status: 502,
    body: expect.stringContaining('Not available right now'),
  })
  const session = await enter(croft, 'web-7777')
  expect(await client.get('web-7777', '/', { ...session, ...html })).toMatchObject({
    status: 502,
    body: expect.stringContaining('web-9000.localhost'),
  })
})

test('100 MB of headers are refused soon, and no process keeps them', async () => {
  const before = [await residentMb(caddy.pid), await residentMb(croft.pid)]
  const socket = await raw(`GET / HTTP/1.1\r\nHost: ${host}\r\n`)
  let said = ''
  let over = false
  socket.on('data', (chunk) => (said += chunk)).on('close', () => (over = true))
  const line = `X-Many: ${'x'.repeat(8_000)}\r\n`
  let sent = 0
  for (; sent < 100e6 && !over; sent += line.length)
    if (!socket.write(line)) await Promise.race([once(socket, 'drain'), once(socket, 'close')]).catch(() => {})
  await vi.waitFor(() => expect(over).toBe(true), wait)
  expect(sent).toBeLessThan(20e6)
  expect(said).toMatch(/^HTTP\/1\.1 431 /)
  const after = [await residentMb(caddy.pid), await residentMb(croft.pid)]
  for (const i of [0, 1]) expect(after[i]! - before[i]!).toBeLessThan(60)
  expect(await statusOf()).toBe(200)
})

test('more headers than the daemon counts are refused: none of what Croft adds could be lost among them', async () => {
  const many = (count: number) =>
    raw(
      `GET /many HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n${Array.from({ length: count }, (_, i) => `A${i}: b\r\n`).join('')}\r\n`,
    )
  await seen()
  expect(await answerOf(await many(900))).toMatch(/^HTTP\/1\.1 200 /)
  for (const count of [1_000, 2_100, 100_000]) expect(await answerOf(await many(count))).toMatch(/^HTTP\/1\.1 431 /)
  expect((await seen()).filter(({ target }) => target === '/many')).toHaveLength(1)
})

test.each([
  ['of a length', { 'Content-Length': '5' }],
  ['in chunks', { 'Transfer-Encoding': 'chunked' }],
])('a GET with a body %s arrives as it was sent, whether the daemon is asked about it or not', async (_, headers) => {
  await seen()
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  for (let i = 0; i < 3; i++)
    expect(await statusOf('/body', { agent, headers, method: 'GET', body: 'hello' })).toBe(200)
  agent.destroy()
  expect((await seen()).map(({ target, body }) => [target, body])).toEqual(Array(3).fill(['/body', 'hello']))
})

describe('a request that lies about where it ends', () => {
  const inner = `GET /smuggled HTTP/1.1\r\nHost: web-9001.localhost:${httpPort}\r\nX-Croft-User: owner\r\n\r\n`
  const post = (headers: string, body: string) => `POST /outer HTTP/1.1\r\nHost: ${host}\r\n${headers}\r\n\r\n${body}`
  const chunked = 'Transfer-Encoding: chunked'
  test.each([
    ['both length and chunks', post(`Content-Length: ${5 + inner.length}\r\n${chunked}`, `0\r\n\r\n${inner}`)],
    ['chunks and a short length', post(`${chunked}\r\nContent-Length: 4`, `0\r\n\r\n${inner}`)],
    ['two lengths', post(`Content-Length: 0\r\nContent-Length: ${inner.length}`, inner)],
    ['a length with a sign', post(`Content-Length: +${inner.length}`, inner)],
    ['a length of two numbers', post(`Content-Length: 0, ${inner.length}`, inner)],
    ['an odd coding', post('Transfer-Encoding: xchunked', `0\r\n\r\n${inner}`)],
    ['a coding in disguise', post('Transfer-Encoding: \tchunked\r\nTransfer-Encoding: identity', `0\r\n\r\n${inner}`)],
    ['a coding with a space before its colon', post('Transfer-Encoding : chunked\r\nContent-Length: 0', inner)],
    ['a folded header', post(`X-A: b\r\n ${chunked}\r\nContent-Length: 0`, inner)],
    ['a folded length', post(`Content-Length: 0\r\n ${inner.length}`, inner)],
    ['a first header that is folded', `POST /outer HTTP/1.1\r\n ${chunked}\r\nHost: ${host}\r\n\r\n${inner}`],
    [
      'a body that a GET is not expected to have',
      post('', '').replace('POST', 'GET').replace('\r\n\r\n', `\r\nContent-Length: ${inner.length}\r\n\r\n${inner}`),
    ],
    ['a chunk whose size is more than any number', post(chunked, `10000000000000005\r\nhello\r\n0\r\n\r\n${inner}`)],
    ['a chunk with a line end in what it adds', post(chunked, `5;a\nb\r\nhello\r\n0\r\n\r\n${inner}`)],
    ['a chunk whose size is nonsense', post(chunked, `0x5\r\nhello\r\n0\r\n\r\n${inner}`)],
    ['a chunk that is longer than it says', post(chunked, `1\r\nhello\r\n0\r\n\r\n${inner}`)],
    ['line ends that are none', `POST /outer HTTP/1.1\nHost: ${host}\nContent-Length: 0\n\n${inner}`],
    ['a header with a line in it', post('X-A: b\rTransfer-Encoding: chunked\r\nContent-Length: 0', inner)],
    ['a null', post('X-A: \0\r\nContent-Length: 0', inner)],
  ])('%s: what is in it gets nowhere', async (_, request) => {
    await seen()
    const said = await answerOf(await raw(request))
    const arrived = await seen()
    // Bytes after a whole request are another request, which is decided by itself: nobody may enter 9001.
    expect(arrived.filter(({ port, target }) => port === 9001 || target === '/smuggled')).toEqual([])
    expect(arrived.length).toBeLessThanOrEqual(1)
    expect(said).not.toContain('smuggled')
    if (arrived.length === 0) expect(said).toMatch(/^HTTP\/1\.1 (400|50[12]) /)
  })
})

describe('a request that lies about who comes, or where to', () => {
  test.each([
    ['two hosts', `GET /x HTTP/1.1\r\nHost: ${host}\r\nHost: web-9001.localhost\r\n\r\n`],
    ['no host', 'GET /x HTTP/1.1\r\n\r\n'],
    ['another host in the address', `GET http://web-9001.localhost/x HTTP/1.1\r\nHost: ${host}\r\n\r\n`],
    ['an authority in the path', `GET //web-9001.localhost/x HTTP/1.1\r\nHost: web-9001.localhost\r\n\r\n`],
    ['a tunnel', `CONNECT web-9001.localhost:80 HTTP/1.1\r\nHost: web-9001.localhost:80\r\n\r\n`],
  ])('%s: port 9001 is not reached', async (_, request) => {
    await seen()
    const said = await answerOf(await raw(request))
    expect((await seen()).filter(({ port }) => port === 9001)).toEqual([])
    expect(said).toMatch(/^HTTP\/1\.1 (200|40[0145]) /)
  })

  test('headers that only Croft sets are accepted from nobody else, however they are spelled', async () => {
    using client = new Client()
    const names = [
      'X-Croft-User',
      'x-croft-name',
      'X_Croft_User',
      'X-Croft_User',
      'x_croft-name',
      'X-CROFT-Ask',
      'X-Croft-Upstream',
      'X-Croft-Verdict',
      'X-Croft-Peer',
      'X.Croft.User',
      'X!Croft!User',
      'X~Croft~User',
      'X*Croft*User',
      'HTTP_X_CROFT_USER',
      '_X_CROFT_USER',
    ]
    await seen()
    for (let i = 0; i < 3; i++) await client.get(label, '/', Object.fromEntries(names.map((name) => [name, 'owner'])))
    const headers = (await seen()).flatMap((request) => request.headers.map(([name]) => name))
    expect(headers.filter((name) => /x.croft/i.test(name))).toEqual([])
  })

  test.each([
    ['folded into another header', `X-A: b\r\n X-Croft-User: owner\r\n\tX_Croft_User: owner\r\n\r\n`],
    ['after the body', 'Transfer-Encoding: chunked\r\nTrailer: X-Croft-User\r\n\r\n0\r\nX-Croft-User: owner\r\n\r\n'],
    ['with a space in its name', 'X-Croft-User : owner\r\n\r\n'],
    ['behind a line end that is none', 'X-A: b\rX-Croft-User: owner\r\n\r\n'],
  ])('who comes, said %s, is no header of the request that the VM gets', async (_, rest) => {
    await seen()
    const said = await answerOf(await raw(`POST /who HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n${rest}`))
    const arrived = await seen()
    expect(arrived.flatMap(({ headers }) => headers.filter(([name]) => /^x.croft/i.test(name)))).toEqual([])
    expect(arrived).toHaveLength(said.startsWith('HTTP/1.1 200 ') ? 1 : 0)
  })

  test('no client can switch the VM’s server to HTTP/2, past Croft’s headers; other protocols are allowed', async () => {
    const offered = async (protocol: string) => {
      await seen()
      const offer = `Connection: close, Upgrade, HTTP2-Settings\r\nUpgrade: ${protocol}\r\nHTTP2-Settings: AAMAAABkAAQAAP__`
      await answerOf(await raw(`GET /over HTTP/1.1\r\nHost: ${host}\r\n${offer}\r\n\r\n`))
      return (await seen()).flatMap(({ headers }) =>
        headers.filter(([name]) => /^(upgrade|http2-settings)$/i.test(name)),
      )
    }
    for (const protocol of ['h2c', 'H2C', 'foo, h2c', 'h2c\r\nUpgrade: h2c'])
      expect(await offered(protocol)).toEqual([])
    expect(await offered('foo')).toEqual([['Upgrade', 'foo']])
  })

  test('the client can’t remove Croft’s headers', async () => {
    const session = await enter(croft, label)
    using client = new Client()
    await seen()
    for (let i = 0; i < 3; i++)
      await client.get(label, '/', {
        ...session,
        Connection: 'keep-alive, X-Croft-User, X-Forwarded-For, X-Croft-Peer',
      })
    for (const { headers } of await seen()) {
      const said = Object.fromEntries(headers.map(([name, value]) => [name.toLowerCase(), value]))
      expect(said).toMatchObject({ 'x-croft-user': 'owner', 'x-forwarded-for': '127.0.0.1' })
      expect(said.cookie ?? '').not.toContain('croft_session')
    }
  })
})

test('1,000 WebSockets stay open while nothing comes and the daemon is killed and starts again, each for little memory', async () => {
  const upgrade = `GET /socket HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n`
  const before = [await residentMb(caddy.pid), await residentMb(croft.pid)]
  const sockets: Socket[] = []
  try {
    for (let i = 0; i < 1_000; i += 50) {
      const some = await Promise.all(Array.from({ length: 50 }, () => raw(upgrade)))
      for (const socket of some) expect(String((await once(socket, 'data'))[0])).toMatch(/^HTTP\/1.1 101 /)
      sockets.push(...some)
    }
    await delay(deep ? 60_000 : 5_000)
    const after = [await residentMb(caddy.pid), await residentMb(croft.pid)]
    console.info(
      `of 1,000 WebSockets: Caddy ${(after[0]! - before[0]!).toFixed(0)} kB each, daemon ${(after[1]! - before[1]!).toFixed(0)} kB each`,
    )
    for (const i of [0, 1]) expect(after[i]! - before[i]!).toBeLessThan(150)
    await croft.kill('SIGKILL')
    await croft.start()
    await Promise.all(
      sockets.map(async (socket, i) => {
        const answer = once(socket, 'data')
        socket.write(`hello ${i}`)
        expect(String((await answer)[0])).toBe(`hello ${i}`)
      }),
    )
    expect(sockets.filter((socket) => socket.destroyed || socket.readableEnded)).toEqual([])
  } finally {
    for (const socket of sockets) socket.destroy()
  }
})

test('a VM that is slow to answer is waited for', async () => {
  expect(await late).toBe(200)
})

test('headers that are not finished within 30 s are waited for no longer', async () => {
  const took = await unfinished
  expect(took).toBeGreaterThan(25_000)
  expect(took).toBeLessThan(45_000)
})

test('what was open before a restart of the daemon ends too when a right is revoked', async () => {
  const [link, revoke] = (await croft.do('share', 'link', 'web', '--port', '9001')).trim().split('\n')
  const guest = { Host: `web-9001.localhost:${httpPort}`, Cookie: `croft_session=${link!.split('key=')[1]}` }
  const events = await ask('/events', { headers: guest })
  await once(events, 'data')
  await croft.kill('SIGKILL')
  await croft.start()
  await once(events, 'data')
  const ended = new Promise((resolve) => events.once('close', resolve).once('error', resolve))
  await croft.do('share', 'revoke', revoke!.split(' ').at(-1)!)
  const began = performance.now()
  events.resume()
  await ended
  expect(performance.now() - began).toBeLessThan(1_000)
  expect(await statusOf('/', { headers: guest })).toBe(401)
})

test('200 clients go on while the daemon is killed and starts again: no request fails', async () => {
  const answers: number[] = []
  let going = true
  const clients = Array.from({ length: 200 }, async (_, i) => {
    const agent = new Agent({ keepAlive: i % 2 === 0, maxSockets: 1 })
    const body = i % 4 < 2 ? 'something to post' : undefined
    while (going) answers.push(await statusOf('/', { agent, body }))
    agent.destroy()
  })
  await vi.waitFor(() => expect(answers.length).toBeGreaterThan(400), wait)
  await croft.kill('SIGKILL')
  await croft.start()
  const restarted = answers.length
  await vi.waitFor(() => expect(answers.length).toBeGreaterThan(restarted + 400), wait)
  going = false
  await Promise.all(clients)
  expect(answers.filter((status) => status !== 200)).toEqual([])
})

test('Caddy that is killed serves again within 2 s of being up', async () => {
  await caddy.kill()
  await caddy.start()
  const began = performance.now()
  await vi.waitFor(async () => expect(await statusOf()).toBe(200), wait)
  expect(performance.now() - began).toBeLessThan(2_000)
})

describe('by HTTP/2, which is handed on as HTTP/1.1, a request with', () => {
  beforeAll(async () => {
    await croft.do('domain', 'set', 'box.test', '--tls', 'internal')
    // The first response comes when there is a certificate.
    await vi.waitFor(async () => expect(await http2.ask(authority, usual)).toBe(200), wait)
  })
  afterAll(() => croft.do('domain', 'set', 'localhost'))

  const authority = 'web-9000.box.test'
  const usual = [
    [':method', 'POST'],
    [':scheme', 'https'],
    [':path', '/outer'],
    [':authority', authority],
  ] as const
  const but = (name: string, value: string) => [...usual.filter(([other]) => other !== name), [name, value] as const]
  const seenSince = async (): Promise<Seen[]> => {
    const options = {
      host: '127.0.0.1',
      port: httpsPort,
      servername: authority,
      rejectUnauthorized: false,
      agent: false,
    }
    const asked = secureGet({ ...options, path: '/seen', headers: { Host: authority } })
    const [response] = await once(asked, 'response')
    return JSON.parse(await text(response))
  }
  const lines = 'b\r\nX-Croft-User: owner'
  const inner = 'GET /smuggled HTTP/1.1\r\nHost: web-9001.box.test\r\n\r\n'

  test.each([
    ['chunks', [...usual, ['transfer-encoding', 'chunked']], `0\r\n\r\n${inner}`],
    ['a short length', [...usual, ['content-length', '0']], inner],
    ['a long length', [...usual, ['content-length', '1000']], inner],
    ['two lengths', [...usual, ['content-length', '0'], ['content-length', String(inner.length)]], inner],
    ['lines in a header', [...usual, ['x-a', lines]], ''],
    ['lines in a header’s name', [...usual, [`x-a: ${lines}`, 'c']], ''],
    ['a colon in a header’s name', [...usual, ['x-croft-user: owner', 'c']], ''],
    ['lines in its path', but(':path', `/outer HTTP/1.1\r\nX-A: ${lines}\r\n\r\n${inner}`.slice(0, 120)), ''],
    ['lines in its method', but(':method', `GET /smuggled HTTP/1.1\r\nX-A: ${lines}\r\n\r\n`), ''],
    ['lines in its authority', but(':authority', `${authority}\r\nX-A: ${lines}`), ''],
    ['another host in a header', [...usual, ['host', 'web-9001.box.test']], ''],
    ['what strikes out headers', [...usual, ['connection', 'x-croft-user, x-forwarded-for']], ''],
    ['an offer of another protocol', [...usual, ['connection', 'upgrade'], ['upgrade', 'h2c']], ''],
    ['capitals in a header’s name', [...usual, ['X-Croft-User', 'owner']], ''],
  ] as const)('%s is refused, or none but itself arrives', async (_, fields, body) => {
    await seenSince()
    const status = await http2.ask(authority, fields, body)
    const arrived = await seenSince()
    const itself = arrived.map(({ target, port, body }) => [target, port, body])
    const bare = [['/outer', 9000, '']]
    // A request whose body or length is wrong may already be on its way when this is noticed, or even answered: the
    // request itself, with nothing of its body.
    if (status === 200) expect([bare, [['/outer', 9000, body]]]).toContainEqual(itself)
    else expect([[], bare]).toContainEqual(itself)
    const said = arrived.flatMap(({ headers }) => headers.map(([name]) => name.toLowerCase()))
    for (const name of ['x-croft-user', 'upgrade', 'connection']) expect(said).not.toContain(name)
  })
})

test('a download ends unfinished when its VM is turned off, and the next request is told that it is', async () => {
  const owner = await enter(croft, label)
  const download = await ask('/big')
  await once(download, 'data')
  download.resume()
  const ended = new Promise<Error | undefined>((resolve) =>
    download.once('error', resolve).once('end', () => resolve(undefined)),
  )
  await croft.do('stop', 'web', '--grace', '0')
  const began = performance.now()
  expect(await ended).toMatchObject({ code: 'ECONNRESET' })
  expect(performance.now() - began).toBeLessThan(3_000)
  expect(await statusOf()).toBe(502)
  using client = new Client()
  expect(await client.get(label, '/', { ...owner, Accept: 'text/html' })).toMatchObject({
    status: 503,
    body: expect.stringMatching(/web can&#39;t be opened.*croft start web/s),
  })
})
