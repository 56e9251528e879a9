import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import ssh2 from 'ssh2'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { unforeseen } from '../../daemon/lib/process/outlive-errors.ts'
import { deep } from '../lib/deep.ts'
import { type Laptop, type Reached, sshPort, startReached } from '../lib/gateway.ts'
import { residentMb } from '../lib/process.ts'
import { program } from '../lib/program.ts'

/** Strangers can do nothing to the SSH gateway. The tests need no VM. */
let reached: Reached
let laptop: Laptop
const wait = { timeout: 60_000, interval: 100 }

beforeAll(async () => {
  reached = await startReached({ image: false })
  laptop = reached.laptop
})

const open = new Set<Socket>()
afterAll(async () => {
  for (const socket of open) socket.destroy()
  const unexpected = reached?.gateway.log.filter((line) => line.includes(unforeseen))
  await reached?.[Symbol.asyncDispose]()
  expect(unexpected).toEqual([])
})

async function dial(): Promise<Socket> {
  const socket = connect(sshPort, '127.0.0.1').resume()
  open.add(socket)
  socket.on('error', () => {})
  socket.once('close', () => open.delete(socket))
  await once(socket, 'connect')
  return socket
}

const enters = async () => expect(await laptop.ssh(['croft@box', 'version'])).toMatchObject({ code: 0 })

/** SSH's binary packet (RFC 4253, section 6), before there are keys. */
function packet(payload: Buffer): Buffer {
  const padding = 8 - ((payload.length + 5) % 8) + 8
  const head = Buffer.alloc(5)
  head.writeUInt32BE(payload.length + padding + 1)
  head[4] = padding
  return Buffer.concat([head, payload, Buffer.alloc(padding)])
}

test('what is not SSH, or is damaged, ends its own connection and nothing else', async () => {
  const { pid } = reached.gateway
  const ident = Buffer.from('SSH-2.0-x\r\n')
  const length = Buffer.alloc(4, 0xff)
  const kexInit = (names: Buffer) => packet(Buffer.concat([Buffer.of(20), randomBytes(16), names]))
  const sent = [
    Buffer.from('GET / HTTP/1.1\r\n\r\n'),
    Buffer.from('SSH-1.5-old\r\n'),
    Buffer.from('x'.repeat(100_000)),
    randomBytes(100_000),
    Buffer.concat([ident, length, randomBytes(64)]),
    Buffer.concat([ident, Buffer.alloc(64)]),
    Buffer.concat([ident, kexInit(Buffer.alloc(0))]),
    Buffer.concat([ident, kexInit(Buffer.alloc(64, 0xff))]),
    Buffer.concat([
      ident,
      ...Array.from({ length: 256 }, (_, type) => packet(Buffer.concat([Buffer.of(type), randomBytes(40)]))),
    ]),
    ...Array.from({ length: 100 }, (_, i) => Buffer.concat([ident, packet(randomBytes(1 + i * 7))])),
  ]
  for (const bytes of sent) {
    const socket = await dial()
    socket.end(bytes)
    await new Promise((resolve) => socket.once('close', resolve))
  }
  expect(reached.gateway.pid).toBe(pid)
  await enters()
})

test('silent connections keep nobody out', async () => {
  const silent = await Promise.all(Array.from({ length: 300 }, dial))
  // The oldest have made room.
  await vi.waitFor(() => expect(silent.filter((socket) => !socket.destroyed).length).toBeLessThanOrEqual(100), wait)
  await enters()
  for (const socket of silent) socket.destroy()
})

test('200 connections at the same time are all served, with little memory each', async () => {
  const key = await readFile(laptop.path('id_ed25519'))
  const before = await residentMb(reached.gateway.pid)
  const clients: ssh2.Client[] = []
  for (let i = 0; i < 200; i++) {
    const client = new ssh2.Client()
    client.on('error', () => {})
    client.connect({ host: '127.0.0.1', port: sshPort, username: 'croft', privateKey: key })
    await once(client, 'ready')
    clients.push(client)
  }
  const each = ((await residentMb(reached.gateway.pid)) - before) * 1024
  console.info(`an idle connection to the gateway takes ${(each / 200).toFixed(0)} kB`)
  expect(each / 200).toBeLessThan(500)
  await enters()
  for (const client of clients) client.end()
})

test('a key that may not enter is reported once, also to a client with BatchMode, and never again beside one that may', async () => {
  const strange = await laptop.key('strange')
  const as = await laptop.as('strange')
  const told = (text: string) =>
    text.split(`croft key add - <<< '${strange.split(' ').slice(0, 2).join(' ')}'`).length - 1
  for (const more of [[], ['-o', 'BatchMode=yes']]) {
    const { code, stderr } = await program('ssh', [...as, ...more, 'croft@box', 'ls'], { timeoutMs: 60_000 })
    expect({ code, told: told(stderr) }).toEqual({ code: 255, told: 1 })
  }
  const both = [...laptop.settings, '-o', `IdentityFile=${laptop.path('strange')}`, 'croft@box', 'version']
  const first = await program('ssh', both, { timeoutMs: 60_000 })
  const again = await program('ssh', both, { timeoutMs: 60_000 })
  expect([first.code, again.code, told(first.stderr), told(again.stderr)]).toEqual([0, 0, 1, 0])
})

test('failed logins have a limit that says what it does, and never shuts out a key that may enter', async () => {
  const tries = deep ? 10_000 : 300
  const { private: strange } = ssh2.utils.generateKeyPairSync('ecdsa', { bits: 256 })
  const attempt = (): Promise<string> =>
    new Promise((resolve) => {
      const client = new ssh2.Client()
      let banner = ''
      client.on('banner', (text) => {
        banner = text
      })
      client.on('error', () => {}).once('close', () => resolve(banner))
      client.connect({ host: '127.0.0.1', port: sshPort, username: 'croft', privateKey: strange, tryKeyboard: true })
    })
  await Promise.all(Array.from({ length: 20 }, attempt))
  const before = await residentMb(reached.gateway.pid)
  let told = ''
  for (let done = 20; done < tries; done += 20) {
    const all = await Promise.all(Array.from({ length: 20 }, attempt))
    told = all.find(Boolean) ?? told
  }
  expect(told).toMatch(/Too many log-ins from 127\.0\.0\.1 have failed\. For \d+ s more/)
  const ended = await laptop.ssh(['croft@box', 'version'])
  expect(ended).toMatchObject({ code: 0, stderr: expect.stringContaining('Keys that are admitted still work.') })
  expect((await residentMb(reached.gateway.pid)) - before).toBeLessThan(40)
})

/** The peak growth of the gateway's memory while something runs, in MiB. */
async function growth(work: () => Promise<unknown>): Promise<number> {
  const before = await residentMb(reached.gateway.pid)
  let most = before
  const looking = setInterval(async () => {
    most = Math.max(most, await residentMb(reached.gateway.pid))
  }, 20)
  await work().finally(() => clearInterval(looking))
  return most - before
}

async function connected(username = 'croft'): Promise<ssh2.Client> {
  const client = new ssh2.Client()
  client.on('error', () => {})
  client.connect({
    host: '127.0.0.1',
    port: sshPort,
    username,
    privateKey: await readFile(laptop.path('id_ed25519')),
  })
  await once(client, 'ready')
  return client
}

test('a connection has a limit of channels, and one more is refused with the reason', async () => {
  const client = await connected()
  const open = () =>
    new Promise<ssh2.ClientChannel | string>((resolve) =>
      client.exec('key add -', (error, channel) => resolve(error ? error.message : channel)),
    )
  const all = await Promise.all(Array.from({ length: 140 }, open))
  const refused = all.filter((each) => typeof each === 'string')
  expect(refused.length).toBe(140 - 128)
  expect(new Set(refused)).toEqual(new Set(['(SSH) Channel open failure: this connection has too many channels']))
  for (const each of all) if (typeof each !== 'string') each.close()
  await vi.waitFor(async () => expect(await open()).not.toBeTypeOf('string'), wait)
  client.end()
})

test('a client that reads nothing, or types endlessly, takes no memory and keeps nobody out', async () => {
  const typing = await connected()
  const deaf = await connected()
  const grown = await growth(async () => {
    const typed = await new Promise<ssh2.ClientChannel>((resolve, reject) =>
      typing.shell({}, (error, channel) => (error ? reject(error) : resolve(channel))),
    )
    typed.resume().write(Buffer.alloc(4 * 2 ** 20, 'a'))
    const { _sock: socket, _protocol: protocol } = deaf as any
    socket.pause()
    for (let sent = 0; sent < 120_000; sent++) protocol.ping()
    await enters()
  })
  expect(grown).toBeLessThan(64)
  for (const each of [typing, deaf]) each.destroy()
})

test('a connection to a VM that does not exist is refused with the reason', async () => {
  const { code, stderr } = await laptop.ssh(['-W', 'nothing:22', 'croft@box'])
  expect(code).not.toBe(0)
  expect(stderr).toContain('No VM called')
})
