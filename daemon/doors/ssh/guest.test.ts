import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { Duplex, PassThrough, Writable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import type { Client, Connection, ServerChannel } from 'ssh2'
import { afterEach, expect, test } from 'vitest'
import { GuestConnections, join, joinSession, openSession } from './guest.ts'
import { ssh2 } from './ssh2-patches.ts'

const running = new Set<ChildProcess>()
afterEach(() => {
  for (const child of running) child.kill('SIGKILL')
  running.clear()
})

/**
 * An SSH server as the owner of a VM could install it, in a process of its own.
 * @param onExec what the server does with `channel` on `connection`; the channel's window has the maximum size
 */
async function enterServer(onExec: string): Promise<Client> {
  const script = `
    const { Channel } = Object.assign(require('ssh2/lib/Channel.js'), { MAX_WINDOW: 2 ** 32 - 1 })
    const ssh2 = require('ssh2')
    // ssh2 can't read one in two hundred of the keys that it generates.
    let key
    do key = ssh2.utils.generateKeyPairSync('ed25519')
    while (ssh2.utils.parseKey(key.private) instanceof Error)
    const server = new ssh2.Server({ hostKeys: [key.private] }, (connection) => {
      connection.on('error', () => {})
      connection.on('authentication', (request) => request.accept())
      connection.on('session', (accept) => accept().once('exec', (take) => {
        const channel = take()
        const socket = connection._sock
        ${onExec}
      }))
    })
    server.listen(0, '127.0.0.1', () => console.log(server.address().port + ' ' + key.public))`
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  running.add(child)
  const [port, ...hostKey] = String((await once(child.stdout, 'data'))[0]).split(' ')
  const key = Buffer.from(ssh2.utils.generateKeyPairSync('ecdsa', { bits: 256 }).private)
  const entry = { id: 'vm', name: 'web', address: '127.0.0.1', user: 'dev', hostKey: hostKey.join(' '), croft: 'croft' }
  return new GuestConnections(key, Number(port)).open(entry, {} as Connection)
}

const run = (guest: Client) => openSession(guest, { what: { exec: 'true' }, pty: undefined, env: {}, agent: false })

/** A client's channel: what the client sends, and whether it reads what it is sent. */
function clientOf(source: Duplex, taken: Writable): ServerChannel {
  const both = Duplex.from({ readable: source, writable: taken })
  return Object.assign(both, { stderr: new PassThrough(), exit() {}, close: () => both.destroy() }) as never
}

const takesNothing = () => new Writable({ write() {} })
const megabytes = 400
/** A client that sends as much as the other end accepts; `sent` is how much so far, in MiB. */
function endless(): Duplex & { sent: number } {
  const chunk = Buffer.alloc(2 ** 20)
  const source = Object.assign(
    new Duplex({
      read() {
        source.push(source.sent < megabytes ? Buffer.from(chunk) : null)
        source.sent += 1
      },
      write: (_chunk, _encoding, done) => done(),
    }),
    { sent: 0 },
  )
  return source
}

/** Returns by how much the memory of this process grows at most while `work` runs, in MiB. */
async function growth(work: () => Promise<unknown>): Promise<number> {
  const before = process.memoryUsage.rss()
  let most = 0
  const looking = setInterval(() => {
    most = Math.max(most, process.memoryUsage.rss())
  }, 10)
  await work()
  clearInterval(looking)
  return (most - before) / 2 ** 20
}

test('the exit code of a command is known, however late its session is joined to the client’s', async () => {
  const guest = await enterServer(`channel.exit(7); channel.end('back')`)
  const session = await run(guest)
  await delay(100) // a box that is busy
  let said = ''
  const taken = new Writable({
    write(chunk, _, done) {
      said += chunk
      done()
    },
  })
  const ended = new Promise((resolve) => joinSession(clientOf(new PassThrough(), taken), session, resolve))
  expect(await ended).toBe(7)
  expect(said).toBe('back')
  guest.end()
})

test.each([
  ['sends more than it may', 32 * 1024],
  ['sends too many small packets', 1],
])('an SSH server in a VM that %s is disconnected, and its data is not kept', async (what, bytes) => {
  const guest = await enterServer(`
    const data = Buffer.alloc(${bytes})
    let left = 300_000
    const more = () => {
      while (left > 0 && socket.writableLength < 2 ** 20) left -= connection._protocol.channelData(channel.outgoing.id, data) ?? 1
      if (left > 0) setImmediate(more)
    }
    more()`)
  const session = await run(guest)
  const closed = new Promise<void>((resolve) => guest.once('close', () => resolve()))
  const late = new Writable({ write: (_chunk, _encoding, done) => void closed.then(() => done()) })
  const client = clientOf(new PassThrough(), late)
  const grown = await growth(async () => {
    joinSession(client, session)
    await closed
  })
  expect(grown).toBeLessThan(64)
  expect(await text(client.stderr as never)).toContain(`it ${what}`)
})

test.each([
  ['takes nothing', 'socket.pause()'],
  ['begins to change keys and does not go on', 'connection._protocol.rekey(); setTimeout(() => socket.pause(), 10)'],
])('an SSH server in a VM that %s slows down the client that sends to it', async (_, onExec) => {
  const guest = await enterServer(onExec)
  const session = await run(guest)
  await delay(100)
  const source = endless()
  const grown = await growth(async () => {
    joinSession(clientOf(source, takesNothing()), session)
    await delay(1000)
  })
  expect(source.sent).toBeLessThan(64)
  expect(grown).toBeLessThan(64)
  guest.destroy()
})

test('much data through one connection leaves no listeners behind', async () => {
  const server = createServer((socket) => socket.on('data', () => {})).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const other = connect((server.address() as AddressInfo).port, '127.0.0.1')
  const client = clientOf(endless(), takesNothing())
  join(client, other)
  await once(client, 'end')
  for (const each of [client, other])
    for (const event of ['close', 'drain', 'data']) expect(each.listenerCount(event)).toBeLessThan(10)
  other.destroy()
  server.close()
})
