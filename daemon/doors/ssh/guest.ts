import { connect, type Socket } from 'node:net'
import type { Readable, Writable } from 'node:stream'
import type { Client, ClientChannel, Connection, PseudoTtyOptions, ServerChannel } from 'ssh2'
import { Semaphore } from '../../lib/locks.ts'
import { plainText } from '../../lib/plain-text.ts'
import { Refusal } from './croftd.ts'
import type { EnterAnswer } from './messages.ts'
import { faultOf, guard, openAgent, sayEnd, ssh2 } from './ssh2-patches.ts'

/** How long a VM's sshd may take, in ms: the first connection after a boot starts it. */
const readyMs = 60_000

/** What is current, of what sshd in a VM and ssh2 both have. ChaCha20 first: an emulated guest does it two and a half times as quickly as AES. */
const algorithms = {
  kex: ['curve25519-sha256', 'curve25519-sha256@libssh.org'],
  serverHostKey: ['ssh-ed25519'],
  cipher: ['chacha20-poly1305@openssh.com', 'aes128-gcm@openssh.com', 'aes256-gcm@openssh.com'],
  hmac: ['hmac-sha2-256-etm@openssh.com'],
} as const

/** How many may be on their way into one VM: as sshd comes with Debian, it turns some away from 10 on (`MaxStartups`). */
const mostOpening = 4
/** How often it is tried when sshd turns it away all the same. */
const attempts = 3

/**
 * The ways into VMs. Each client has an SSH connection of its own there: one that was used before would have its user's
 * groups as they were then.
 */
export class GuestConnections {
  readonly #key: Buffer
  /** Those on their way in, by the VM's id. */
  readonly #openings = new Map<string, { turns: Semaphore; count: number }>()

  readonly #port: number

  /** @param key the private key that VMs let in @param port of their sshd */
  constructor(key: Buffer, port = 22) {
    this.#key = key
    this.#port = port
  }

  /** Enters a VM for a client, whose agent may be asked for from there. @throws Error whose message is a sentence's end */
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

/** Enters a VM as one of its users, by the gateway's key; the one host key that Croft made for it must be its. */
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
      keepaliveInterval: 0, // one that sleeps goes on later; of one that ends the daemon tells
      hostVerifier: (found: Buffer) => found.equals(expected),
      authHandler: [{ type: 'publickey', username: entry.user, key }] as never,
      // Never asked for a key of its own: it is there for who asks for it inside the VM.
      agent: new ClientAgent(client),
      algorithms: algorithms as never,
    })
    guard(guest)
  })
}

/** The client's agent, as ssh2's client has one. None of its keys are for the gateway. */
class ClientAgent extends ssh2.BaseAgent {
  readonly #client: Connection

  constructor(client: Connection) {
    super()
    this.#client = client
  }

  override getIdentities(done: (error: Error) => void): void {
    done(new Error('none of its keys are for the gateway'))
  }

  override sign(...args: unknown[]): void {
    ;(args.at(-1) as (error: Error) => void)(new Error('none of its keys are for the gateway'))
  }

  override getStream(done: (error?: Error, stream?: ServerChannel) => void): void {
    openAgent(this.#client).then((stream) => done(undefined, stream), done)
  }
}

/** What a session in a VM is to be, as the client asked for it. */
export interface GuestRequest {
  what: { shell: true } | { exec: string } | { subsystem: string }
  pty: PseudoTtyOptions | undefined
  env: Record<string, string>
  agent: boolean
}

/** A VM's sshd takes no further channel by a connection. */
export class NoChannel extends Refusal {}

/** Opens a session's channel in a VM. @throws Refusal when the VM's sshd does not, or the connection is over by then */
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
 * Joins a client's session to one in a VM, until either ends: bytes both ways, standard error, and how it ended.
 * @param after what to do with the client's channel in place of closing it, given the exit code
 */
export function joinSession(client: ServerChannel, guest: ClientChannel, after?: (exit: number) => void): void {
  const stop = [flow(client, guest), flow(guest, client), flow(guest.stderr, client.stderr)]
  const takeEnd = () => guest.end()
  const gone = () => guest.close()
  client.once('end', takeEnd).once('close', gone)
  // How it ended comes with its close. The event `exit` may have been before anybody listened: a short command's answer,
  // output and end come in one piece.
  guest.once('close', (code?: number | null, signal?: string, dump?: boolean, text?: string) => {
    client.off('end', takeEnd).off('close', gone)
    for (const each of stop) each()
    if (after) return after(code ?? 255)
    const fault = code === undefined ? faultOf(guest) : undefined
    client.stderr.end(fault === undefined ? '' : `The VM's SSH server was left: ${fault}.\r\n`, () => {
      if (code === null) client.exit((signal ?? 'TERM').replace(/^SIG/, ''), dump === true, text ?? '')
      else client.exit(code ?? 255)
      client.end()
    })
  })
}

/** How many pieces are on their way through a flow: each takes memory of its own, however small. */
const mostPieces = 64

/** Passes on what comes, as fast as it is taken. @returns stops that */
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

/** Joins two channels, or a channel and a connection, each of whose ends goes on for itself until both have come. */
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
    // What was written may wait for the client's window still.
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

/** A connection to a port of a VM's. */
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
