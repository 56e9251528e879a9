import { createServer, type Server, type Socket } from 'node:net'
import type { Logger } from 'pino'
import type { Connection, Server as SshServer } from 'ssh2'
import { FailureLimiter } from '../../lib/failure-limiter.ts'
import { plainAddress } from '../../lib/text/addresses.ts'
import { Companions } from './auth-failure.ts'
import { ClientConnection, type Surroundings } from './client-connection.ts'
import type { Croftd } from './croftd.ts'
import { GuestConnections } from './guest.ts'
import { LobbyHistories } from './histories.ts'
import type { ConnectingClient, FromDaemon, FromGateway } from './messages.ts'
import { setBanner, ssh2 } from './ssh2-patches.ts'

/** The current algorithms among those that ssh2 implements, the fastest first. */
const algorithms = {
  kex: [
    'curve25519-sha256',
    'curve25519-sha256@libssh.org',
    'ecdh-sha2-nistp256',
    'ecdh-sha2-nistp384',
    'ecdh-sha2-nistp521',
  ],
  serverHostKey: ['ssh-ed25519'],
  cipher: ['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com', 'chacha20-poly1305@openssh.com', 'aes256-ctr'],
  hmac: ['hmac-sha2-256-etm@openssh.com', 'hmac-sha2-512-etm@openssh.com'],
  compress: ['none'],
} as const

/** The most connections at a time, and the most among them that have not been authenticated. */
const mostConnections = 1000
const mostStrangers = 100
/** How long a client may take to authenticate, in ms. */
const graceMs = 60_000
/** How often a silent client is sent a keepalive, in ms, and after how many without a reply it is disconnected. */
const keepAliveMs = 60_000
const keepAliveTimes = 3

/** The SSH server. Accepts connections, and tracks which clients are connected to which VMs. */
export class Gateway implements Surroundings {
  readonly croftd: Croftd
  readonly guests: GuestConnections
  readonly log: Logger
  readonly tries = new FailureLimiter()
  readonly companions = new Companions()
  readonly #server: SshServer
  readonly #listener: Server
  /** Connections that have not been authenticated, the oldest first. */
  readonly #strangers = new Set<Socket>()
  readonly #connections = new Set<ClientConnection>()
  readonly #histories = new LobbyHistories()
  readonly #tell: () => void

  /** @param key the private key that VMs accept */
  constructor(croftd: Croftd, hostKey: Buffer, key: Buffer, log: Logger) {
    this.croftd = croftd
    this.guests = new GuestConnections(key)
    this.log = log
    this.#server = new ssh2.Server(
      {
        hostKeys: [hostKey],
        ident: 'Croft',
        algorithms: algorithms as never,
        keepaliveInterval: keepAliveMs,
        keepaliveCountMax: keepAliveTimes,
      },
      (client, { ip }) => this.#take(client, plainAddress(ip)),
    )
    this.#listener = createServer({ noDelay: true }, (socket) => this.#meet(socket))
    this.#listener.maxConnections = mostConnections
    this.#tell = croftd.link(
      () => this.#state(),
      (message) => this.#heard(message),
      log,
    )
  }

  listen(port: number, address: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#listener.once('error', reject)
      // Without an address, Node listens on all of them, even where the box has no IPv6; `::` would fail there.
      this.#listener.listen(port, address === '::' ? undefined : address, () => {
        this.#listener.on('error', (err: Error) => this.log.error({ err }, 'the server failed'))
        resolve()
      })
    })
  }

  close(): void {
    this.#listener.close()
    for (const connection of this.#connections) connection.end()
    for (const socket of this.#strangers) socket.destroy()
  }

  /**
   * Accepts a connection. Its client is a stranger until it has been authenticated. Strangers have a deadline, and when
   * there are too many of them, the oldest is disconnected.
   */
  #meet(socket: Socket): void {
    this.#strangers.add(socket)
    const late = setTimeout(() => this.#strangers.has(socket) && socket.destroy(), graceMs)
    socket.once('close', () => {
      clearTimeout(late)
      this.#strangers.delete(socket)
    })
    socket.on('error', () => {})
    const [oldest] = this.#strangers
    if (this.#strangers.size > mostStrangers) oldest!.destroy()
    this.#server.injectSocket(socket)
  }

  #take(client: Connection, address: string): void {
    const wait = this.tries.wait(address)
    if (wait > 0)
      setBanner(
        client,
        `Too many log-ins from ${address} have failed. For ${wait} s more, a connection ends at the first key that is not admitted.\nKeys that are admitted still work.`,
      )
    new ClientConnection(this, client, address)
  }

  arrived(connection: ClientConnection): void {
    this.#strangers.delete(connection.socket)
    this.#connections.add(connection)
    this.changed()
  }

  left(connection: ClientConnection): void {
    if (this.#connections.delete(connection)) this.changed()
  }

  changed(): void {
    this.#tell()
  }

  historyOf({ fingerprint, as }: ConnectingClient): string[] {
    return this.#histories.of(`${fingerprint} ${as}`)
  }

  #state(): FromGateway {
    const sessions: Record<string, number> = {}
    for (const id of [...this.#connections].flatMap((connection) => connection.within))
      sessions[id] = (sessions[id] ?? 0) + 1
    return { sessions, keys: [...new Set([...this.#connections].flatMap(({ who }) => who?.fingerprint ?? []))] }
  }

  #heard(message: FromDaemon): void {
    for (const connection of [...this.#connections]) {
      if ('ended' in message) connection.ended(message.ended)
      else if ('asleep' in message) connection.asleep(message.asleep)
      else if (connection.who?.fingerprint === message.out) connection.end()
    }
  }
}
