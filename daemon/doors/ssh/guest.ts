import { connect, type Socket } from 'node:net'
import type { Readable, Writable } from 'node:stream'
import type { Client, ClientChannel, Connection, PseudoTtyOptions, ServerChannel } from 'ssh2'
import { Semaphore } from '../../lib/async/locks.ts'
import { plainText } from '../../lib/text/plain-text.ts'
import { Refusal } from './croftd.ts'
import type { EnterAnswer } from './messages.ts'
import { faultOf, guard, openAgent, sayEnd, ssh2 } from './ssh2-patches.ts'

/** How long a VM's sshd may take, in ms: the first connection after a boot starts it. */
const readyMs = 60_000

/**
 * The current algorithms that both ssh2 and a VM's sshd implement. ChaCha20 comes first: in an emulated guest it is two
 * and a half times as fast as AES.
 */
const algorithms = {
  kex: ['curve25519-sha256', 'curve25519-sha256@libssh.org'],
  serverHostKey: ['ssh-ed25519'],
  cipher: ['chacha20-poly1305@openssh.com', 'aes128-gcm@openssh.com', 'aes256-gcm@openssh.com'],
  hmac: ['hmac-sha2-256-etm@openssh.com'],
} as const

/**
 * The most connections to one VM that may be in setup at a time. With Debian's default `MaxStartups`, sshd drops some
 * connections from the tenth on.
 */
const mostOpening = 4
/** How many times to try when sshd drops a connection nevertheless. */
const attempts = 3

/**
 * Opens connections to VMs. Each client gets an SSH connection of its own: sessions on a reused connection would run
 * with the groups that the user had when the connection was opened.
 */
export class GuestConnections {
  readonly #key: Buffer
  /** Connections in setup, by the VM's id. */
  readonly #openings = new Map<string, { turns: Semaphore; count: number }>()

  readonly #port: number

  /** @param key the private key that VMs accept @param port the port of their sshd */
  constructor(key: Buffer, port = 22) {
    this.#key = key
    this.#port = port
  }

  /**
   * Opens a connection to a VM for a client. Sessions on it may use the client's agent.
   * @throws Error whose message is the end of a sentence
   */
  async open(entry: EnterAnswer, client: Connection): Promise<Client> {
    const opening = this.#openings.get(entry.id) ?? { turns: new Semaphore(mostOpening), count: 0 }
    this.#openings.set(entry.id, opening)
    opening.count += 1
    try {
      return await opening.turns.run(async () => {
        for (let left = attempts - 1; ; left--) {
          try {
            return await openGuest(entry, this.#port, this.#key, client)
          } catch (error) {
            if (left === 0 || (error as NodeJS.ErrnoException).code !== 'ECONNRESET') throw error
          }
        }
      })
    } finally {
      opening.count -= 1
      if (opening.count === 0) this.#openings.delete(entry.id)
    }
  }
}

/**
 * Connects to a VM as one of its users, with the gateway's key. The VM must present the one host key that Croft made
 * for it.
 */
function openGuest(entry: EnterAnswer, port: number, key: Buffer, client: Connection): Promise<Client> {
  const expected = Buffer.from(entry.hostKey.split(' ')[1]!, 'base64')
  const guest = new ssh2.Client()
  return new Promise((resolve, reject) => {
    guest.once('ready', () => resolve(guest))
    guest.on('error', (error) => {
      if (error.level === 'client-authentication') error.message = `there is no user ${entry.user}`
      reject(error)
    })
    guest.once('close', () => reject(new Error('it closed the connection')))
    guest.connect({
      host: entry.address,
      port,
      username: entry.user,
      readyTimeout: readyMs,
      keepaliveInterval: 0, // a sleeping VM continues later; the daemon reports a VM that has ended
      hostVerifier: (found: Buffer) => found.equals(expected),
      authHandler: [{ type: 'publickey', username: entry.user, key }] as never,
      // Only for programs inside the VM: the gateway itself uses none of the agent's keys.
      agent: new ClientAgent(client),
      algorithms: algorithms as never,
    })
    guard(guest)
  })
}

/** The client's agent, in the form that ssh2's client expects. The gateway itself uses none of its keys. */
class ClientAgent extends ssh2.BaseAgent {
  readonly #client: Connection

  constructor(client: Connection) {
    super()
    this.#client = client
  }

  override getIdentities(done: (error: Error) => void): void {
    done(new Error('the gateway uses none of its keys'))
  }

  override sign(...args: unknown[]): void {
    ;(args.at(-1) as (error: Error) => void)(new Error('the gateway uses none of its keys'))
  }

  override getStream(done: (error?: Error, stream?: ServerChannel) => void): void {
    openAgent(this.#client).then((stream) => done(undefined, stream), done)
  }
}

/** The session that a client asks for in a VM. */
export interface GuestRequest {
  what: { shell: true } | { exec: string } | { subsystem: string }
  pty: PseudoTtyOptions | undefined
  env: Record<string, string>
  agent: boolean
}

/** The VM's sshd accepts no further channel on this connection. */
export class NoChannel extends Refusal {}

/**
 * Opens a session's channel in a VM.
 * @throws Refusal when the VM's sshd refuses, or the connection has closed by then
 */
export function openSession(guest: Client, { what, pty, env, agent }: GuestRequest): Promise<ClientChannel> {
  return new Promise((resolve, reject) => {
    const opened = (error: (Error & { reason?: unknown }) | undefined, channel: ClientChannel) => {
      if (!error) return resolve(channel)
      const Kind = typeof error.reason === 'number' ? NoChannel : Refusal
      reject(new Kind(`The session could not be opened: ${plainText(error.message).slice(0, 200)}.`, undefined, 255))
    }
    const options = { env, agentForward: agent, ...(pty && { pty }) }
    if ('exec' in what) guest.exec(what.exec, options, opened)
    else if ('shell' in what) guest.shell(pty ?? false, options, opened)
    else guest.subsys(what.subsystem, opened)
  })
}

/**
 * Joins a client's session to a session in a VM until either ends. Passes on bytes in both directions, standard error,
 * and the exit code or signal.
 * @param after called with the exit code instead of closing the client's channel
 */
export function joinSession(client: ServerChannel, guest: ClientChannel, after?: (exit: number) => void): void {
  const stop = [flow(client, guest), flow(guest, client), flow(guest.stderr, client.stderr)]
  const takeEnd = () => guest.end()
  const gone = () => guest.close()
  client.once('end', takeEnd).once('close', gone)
  // The exit code and the signal come with `close`. The event `exit` may have fired before this listener was added: the
  // reply, output and end of a short command arrive in one piece.
  guest.once('close', (code?: number | null, signal?: string, dump?: boolean, text?: string) => {
    client.off('end', takeEnd).off('close', gone)
    for (const each of stop) each()
    if (after) return after(code ?? 255)
    const fault = code === undefined ? faultOf(guest) : undefined
    client.stderr.end(
      fault === undefined ? '' : `The connection to the VM's SSH server was closed: ${fault}.\r\n`,
      () => {
        if (code === null) client.exit((signal ?? 'TERM').replace(/^SIG/, ''), dump === true, text ?? '')
        else client.exit(code ?? 255)
        client.end()
      },
    )
  })
}

/** The most chunks that a flow may have in flight: each takes memory of its own, however small. */
const mostPieces = 64

/** Copies data from a source to a sink, as fast as the sink accepts it. @returns stops the copying */
function flow(source: Readable, sink: Writable): () => void {
  let pieces = 0
  let goesOn = true
  const go = () => void source.resume()
  const taken = () => {
    pieces -= 1
    if (pieces === 0 && goesOn) go()
  }
  const take = (chunk: Buffer) => {
    pieces += 1
    if (!sink.write(chunk, taken) || pieces >= mostPieces) source.pause()
  }
  source.on('data', take)
  sink.once('close', go)
  return () => {
    goesOn = false
    source.off('data', take)
    sink.off('close', go)
  }
}

/**
 * Joins two channels, or a channel and a socket. Each direction ends on its own; when both have, the channel is closed.
 */
export function join(client: ServerChannel, other: ClientChannel | Socket): void {
  flow(other, client)
  flow(client, other)
  let ends = 0
  const both = () => {
    ends += 1
    if (ends === 2) client.close()
  }
  client.once('end', () => {
    other.end()
    both()
  })
  other.once('end', () => {
    // Data that was written may still be waiting for the client's window.
    client.write(Buffer.alloc(0), () => {
      sayEnd(client)
      both()
    })
  })
  client.once('close', () => other.destroy())
  other.once('close', () => client.close())
  other.on('error', () => client.close())
  client.on('error', () => other.destroy())
}

/** Connects to a port of a VM. */
export function connectTo(address: string, port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: address, port, noDelay: true, timeout: 20_000, allowHalfOpen: true })
    socket.once('timeout', () => socket.destroy(new Error('it does not answer')))
    socket.once('error', reject)
    socket.once('connect', () => {
      socket.setTimeout(0)
      socket.off('error', reject)
      resolve(socket)
    })
  })
}
