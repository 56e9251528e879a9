import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { Duplex, PassThrough } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import type { ServerChannel } from 'ssh2'
import ssh2 from 'ssh2'
import { expect, test } from 'vitest'
import { joinSession, openSession } from './guest.ts'

test('how a command ended is known, however late its session is joined to the client’s', async () => {
  const server = new ssh2.Server({ hostKeys: [ssh2.utils.generateKeyPairSync('ed25519').private] }, (connection) => {
    connection.on('error', () => {})
    connection.on('authentication', (request) => request.accept())
    connection.on('session', (accept) =>
      accept().once('exec', (take) => {
        const channel = take()
        channel.exit(7)
        channel.end('back')
      }),
    )
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const guest = new ssh2.Client()
  try {
    guest.connect({ host: '127.0.0.1', port: (server.address() as AddressInfo).port, username: 'dev' })
    await once(guest, 'ready')
    const session = await openSession(guest, { what: { exec: 'true' }, pty: undefined, env: {}, agent: false })
    await delay(100) // a box that is busy
    let said = ''
    const taken = new Duplex({
      read() {},
      write(chunk, _, done) {
        said += chunk
        done()
      },
    })
    const client = Object.assign(taken, { stderr: new PassThrough() })
    const ended = new Promise((resolve) => joinSession(client as unknown as ServerChannel, session, resolve))
    expect(await ended).toBe(7)
    expect(said).toBe('back')
  } finally {
    guest.end()
    server.close()
  }
})
