import { hash } from 'node:crypto'
import type { Socket } from 'node:net'
import type { Logger } from 'pino'
import type { AuthContext, Client, ClientChannel, Connection, PseudoTtyOptions, ServerChannel, Session } from 'ssh2'
import { type Login, parseLogin } from '../../core/access/login.ts'
import { isWithin, plainAddress } from '../../lib/addresses.ts'
import type { FailureLimiter } from '../../lib/failure-limiter.ts'
import { plainText } from '../../lib/plain-text.ts'
import { type Companions, failureMessage, type RefusedKey } from './auth-failure.ts'
import { type Croftd, Refusal } from './croftd.ts'
import {
  connectTo,
  type GuestConnections,
  type GuestRequest,
  join,
  joinSession,
  NoChannel,
  openSession,
} from './guest.ts'
import { BadKey, certificateFault, readSshKey, type SshKey, verifyWire } from './key.ts'
import { type LobbyParts, type LobbyTerminal, lobbyLine, lobbyLineOnTty, lobbyPrompt, lobbyTty } from './lobby.ts'
import type { ConnectingClient } from './messages.ts'
import { channelsOf, guard, hasRoom, refuseChannel, showBanner, socketOf, wireSignature } from './ssh2-patches.ts'

/** What a connection needs of the server that took it. */
export interface Surroundings {
  readonly croftd: Croftd
  readonly guests: GuestConnections
  readonly log: Logger
  readonly tries: FailureLimiter
  readonly companions: Companions
  /** Somebody has come in by a connection, or left. */
  arrived(visit: ClientConnection): void
  left(visit: ClientConnection): void
  /** Who is in, or where, has changed. */
  changed(): void
  /** Lines that were typed in the lobby with this key; forgotten when the gateway ends. */
  historyOf(who: ConnectingClient): string[]
}

const mostKeys = 20
/** What a key may have, with the certificate around it, in bytes. */
const longestKey = 32 * 1024
/** Of how many keys that may not enter a client is told. */
const mostTold = 3
/** What a session's environment may have, in variables and in bytes. */
const mostVariables = 100
const mostEnvironment = 64 * 1024
const methods = ['publickey', 'keyboard-interactive'] as const

/** What a client may do besides running something, as its certificate says; all of it, without one. */
interface Permits {
  pty: boolean
  forwarding: boolean
  agent: boolean
}
const everything: Permits = { pty: true, forwarding: true, agent: true }

const tooMany = 'this connection has too many channels'

/** A connection to a VM, or a port of it. */
interface Open {
  once(event: 'close', then: () => void): unknown
  destroy(): unknown
}

/** One client's connection, from the first packet to the last. */
export class ClientConnection {
  readonly #client: Connection
  readonly #gateway: Surroundings
  readonly #address: string
  readonly #refused: RefusedKey[] = []
  readonly #digests: string[] = []
  #told = 0
  #keysTried = 0
  #login: Login | undefined
  #permits = everything
  /** Its connections to the VM that it is in. */
  readonly #guests: Promise<Client>[] = []
  /** What it has open in VMs, with the VM's id. */
  readonly #open = new Map<Open, string>()
  /** VMs that sleep under what it has open in them. */
  readonly #asleep = new Set<string>()
  who: ConnectingClient | undefined

  constructor(gateway: Surroundings, client: Connection, address: string) {
    this.#gateway = gateway
    this.#client = client
    this.#address = address
    guard(client)
    client.on('error', (err: Error) => this.#log.debug({ address, err: err.message }, 'a connection failed'))
    client.on('authentication', (asked) => {
      this.#authenticate(asked).catch((err) => {
        this.#log.error({ err }, 'could not tell who it is')
        if (err instanceof Refusal) showBanner(client, `${err.message}\n`)
        asked.reject(['publickey'])
        this.end()
      })
    })
    client.once('ready', () => {
      gateway.arrived(this)
      gateway.companions.add(this.#digests)
      if (this.#login?.to === 'vm') this.#enter(0).catch(() => {}) // whoever needs it says why not
    })
    client.once('close', () => {
      gateway.left(this)
      for (const each of this.#guests) each?.then((guest) => guest.end()).catch(() => {})
    })
    client.on('session', (accept, reject) => {
      if (hasRoom(client)) this.#session(accept())
      else refuseChannel(client, reject, tooMany)
    })
    client.on('tcpip', (accept, reject, { destIP, destPort }) => this.#direct(accept, reject, { destIP, destPort }))
    client.on('openssh.streamlocal', (accept, reject, { socketPath }) => this.#direct(accept, reject, { socketPath }))
    client.on('request', (accept, reject, name, info) => this.#request(name, info as never, accept, reject))
  }

  get socket(): Socket {
    return socketOf(this.#client)
  }

  get #log(): Logger {
    return this.#gateway.log
  }

  end(): void {
    this.#client.end()
  }

  // Who it is.

  async #authenticate(asked: AuthContext): Promise<void> {
    const { tries } = this.#gateway
    if (asked.method === 'publickey') {
      this.#keysTried += 1
      const found = await this.#known(asked.key.data, asked.username)
      if ('fault' in found) {
        const goesOn = this.#keysTried <= mostKeys && tries.wait(this.#address) === 0
        if (goesOn) this.#tell(found, hash('sha256', asked.key.data))
        asked.reject([...methods])
        if (!goesOn) this.end()
        return
      }
      if (!asked.signature) return asked.accept()
      if (!asked.blob || !verifyWire(found.key, asked.blob, wireSignature(asked))) {
        tries.fail(this.#address)
        return asked.reject([...methods])
      }
      this.who = found.who
      this.#permits = found.permits
      this.#login = parseLogin(asked.username)
      return asked.accept()
    }
    if (asked.method !== 'keyboard-interactive') return asked.reject([...methods])
    // Who comes to this has no other key.
    tries.fail(this.#address)
    // Not an empty list: OpenSSH then begins again with all methods.
    const refuse = () => asked.reject(['publickey'])
    if (this.#told > 0) return refuse()
    asked.prompt([], '', failureMessage(this.#refused), refuse)
  }

  /** Tells a client at once that a key may not enter: with `BatchMode` it leaves after its last one. */
  #tell(refused: RefusedKey, digest: string): void {
    this.#refused.push(refused)
    this.#digests.push(digest)
    if (this.#told === mostTold || this.#gateway.companions.has(digest)) return
    this.#told += 1
    showBanner(this.#client, failureMessage([refused]))
  }

  /** The key, if it may come in at all, and what it may do then. */
  async #known(
    blob: Buffer,
    name: string,
  ): Promise<{ key: SshKey; who: ConnectingClient; permits: Permits } | RefusedKey> {
    if (blob.length > longestKey) return { fault: 'it is too long' }
    let key: SshKey
    try {
      key = readSshKey(blob)
    } catch (error) {
      if (!(error instanceof BadKey)) throw error
      return { fault: error.message }
    }
    const { croftd } = this.#gateway
    const { certificate } = key
    const address = this.#address
    const reached = plainAddress(this.socket.localAddress ?? '')
    if (!certificate) {
      const who = { fingerprint: key.fingerprint, as: '', address, reached }
      if (await croftd.knows(key.fingerprint, false)) return { key, who, permits: everything }
      return { key, fault: undefined }
    }
    const { authority, id, permits } = certificate
    if (!(await croftd.knows(authority.fingerprint, true))) {
      return { fault: `its certificate is from a CA that Croft does not trust (${authority.fingerprint})` }
    }
    const fault = certificateFault(certificate, [name, 'croft'], address, new Date(), isWithin)
    if (fault !== undefined) return { fault: `of its certificate: ${fault}` }
    return {
      key,
      who: { fingerprint: authority.fingerprint, as: id.slice(0, 256), address, reached },
      permits: {
        pty: permits.has('permit-pty'),
        forwarding: permits.has('permit-port-forwarding'),
        agent: permits.has('permit-agent-forwarding'),
      },
    }
  }

  // Where it goes.

  /** The VM whose name it came with, awake and entered. @param nth of its connections there @throws Refusal */
  #enter(nth: number): Promise<Client> {
    this.#guests[nth] ??= this.#enterVm(nth)
    return this.#guests[nth]
  }

  async #enterVm(nth: number): Promise<Client> {
    const login = this.#login
    if (login?.to !== 'vm') throw new Refusal('There is no VM by that name.', 'ssh croft@… ls shows them all.', 3)
    if (nth === 0) {
      const guest = await this.#into(login.vm, login.user, false)
      guest.once('close', () => setTimeout(() => this.end(), 500).unref())
      return guest
    }
    try {
      const { guest } = await this.#connect(login.vm, login.user, true)
      guest.once('close', () => delete this.#guests[nth])
      return guest
    } catch (error) {
      delete this.#guests[nth]
      throw error
    }
  }

  /** Opens a session in the VM, by a further connection where its sshd takes no more by those there are (`MaxSessions`). @throws Refusal */
  async #openInVm(wanted: GuestRequest): Promise<ClientChannel> {
    for (let nth = 0; ; nth++) {
      const guest = await this.#enter(nth)
      try {
        return await openSession(guest, wanted)
      } catch (error) {
        if (!(error instanceof NoChannel) || channelsOf(guest) === 0) throw error
      }
    }
  }

  /** Enters a VM, which counts as in use by a session. @throws Refusal */
  async #into(vm: string, user: string | undefined, noted: boolean): Promise<Client> {
    const { id, guest } = await this.#connect(vm, user, noted)
    this.#keep(id, guest)
    return guest
  }

  /** @throws Refusal */
  async #connect(vm: string, user: string | undefined, noted: boolean): Promise<{ id: string; guest: Client }> {
    const { croftd, guests } = this.#gateway
    const entry = await croftd.enter(this.who!, { vm, user: user ?? null, noted })
    const guest = await guests.open(entry, this.#client).catch((error: Error) => {
      throw new Refusal(`${entry.name} can't be entered: ${error.message}.`, `${entry.croft} logs ${entry.name}`, 255)
    })
    guest.on('error', (err) => this.#log.info({ vm: entry.name, err: err.message }, 'a connection to a VM failed'))
    return { id: entry.id, guest }
  }

  /** It has something open in a VM, until that closes. */
  #keep(vm: string, open: Open): void {
    this.#open.set(open, vm)
    this.#gateway.changed()
    open.once('close', () => {
      this.#open.delete(open)
      this.#gateway.changed()
    })
  }

  /** VMs that it is in, by id, as often as it is. */
  get within(): string[] {
    return [...this.#open.values()]
  }

  /** What it has in a VM is over, for the VM has ended. */
  ended(vm: string): void {
    for (const [open, id] of this.#open) if (id === vm) open.destroy()
  }

  /** A VM in which it has something open has been put to sleep: it goes on when something is sent there. */
  asleep(vm: string): void {
    if (this.within.includes(vm)) this.#asleep.add(vm)
  }

  #join(channel: ServerChannel, other: ClientChannel | Socket): void {
    this.#wakeFor(channel)
    join(channel, other)
  }

  /** What comes by a client's channel is for the VM: if that sleeps, it is to wake. */
  #wakeFor(channel: ServerChannel): void {
    channel.on('data', () => {
      if (this.#asleep.size > 0) this.#wake()
    })
  }

  #wake(): void {
    const { croftd } = this.#gateway
    for (const vm of this.#asleep)
      croftd.enter(this.who!, { vm, user: null, noted: true }).catch((thrown) => {
        this.#log.warn({ vm, err: thrown }, 'could not wake it')
        this.#asleep.add(vm)
      })
    this.#asleep.clear()
  }

  // What it asks for.

  #session(session: Session): void {
    let pty: PseudoTtyOptions | undefined
    let agent = false
    const env: Record<string, string> = {}
    const onResize = new Set<(size: PseudoTtyOptions) => void>()
    const onSignal = new Set<(name: string) => void>()
    const begin = (accept: () => ServerChannel, what: GuestRequest['what']) => {
      const channel = accept()
      channel.on('error', () => {})
      const wanted: GuestRequest = { what, pty, env, agent }
      this.#serve(channel, wanted, onResize, onSignal).catch((error) => this.#refuse(channel, error))
    }
    session.on('pty', (accept, reject, { cols, rows, width, height, ...more }) => {
      if (!this.#permits.pty) return reject?.()
      // `term` comes too, which ssh2's types don't know.
      pty = { ...more, cols: cols || 80, rows: rows || 24, width, height } as PseudoTtyOptions
      accept?.()
    })
    session.on('window-change', (accept, _, { cols, rows, width, height }) => {
      const size = { cols, rows, width, height }
      if (pty) Object.assign(pty, size)
      for (const each of onResize) each(size)
      accept?.()
    })
    let room = mostEnvironment
    session.on('env', (accept, reject, { key, val }) => {
      room -= key.length + val.length
      if (Object.keys(env).length >= mostVariables || room < 0) return reject?.()
      env[key] = val
      accept?.()
    })
    session.on('signal', (accept, _, { name }) => {
      for (const each of onSignal) each(name)
      accept?.()
    })
    session.on('auth-agent', (accept, reject) => {
      if (!this.#permits.agent) return reject?.()
      agent = true
      accept?.()
    })
    session.on('shell', (accept) => begin(accept, { shell: true }))
    session.on('exec', (accept, _, { command }) => begin(accept, { exec: command }))
    session.on('subsystem', (accept, _, { name }) => begin(accept, { subsystem: name }))
  }

  async #serve(
    channel: ServerChannel,
    wanted: GuestRequest,
    onResize: Set<(size: PseudoTtyOptions) => void>,
    onSignal: Set<(name: string) => void>,
  ): Promise<void> {
    const { what, pty } = wanted
    if (this.#login?.to !== 'lobby') {
      const inside = await this.#openInVm(wanted)
      onResize.add(resizing(inside))
      onSignal.add((name) => inside.signal(name))
      this.#wakeFor(channel)
      return joinSession(channel, inside)
    }
    if ('subsystem' in what) throw new Refusal('The lobby takes no files.', 'Name a VM: scp -P 2222 file web@box:', 1)
    const parts: LobbyParts = {
      croftd: this.#gateway.croftd,
      who: this.who!,
      history: this.#gateway.historyOf(this.who!),
      enter: (on, vm, words) => this.#enterFromLobby(on, vm, words, wanted, onResize),
    }
    const finish = (code: number) => {
      channel.stderr.end(() => {
        channel.exit(code)
        channel.end()
      })
    }
    if (!pty && 'exec' in what) return finish(await lobbyLine(parts, channel, what.exec))
    if (!pty) throw new Refusal('The lobby’s prompt needs a terminal.', 'Give it a command: ssh … ls', 2)
    const dumb = String(pty.term) === 'dumb'
    const terminal: LobbyTerminal = {
      size: { columns: pty.cols!, rows: pty.rows! },
      color: !('NO_COLOR' in wanted.env) && !dumb,
      dumb,
    }
    const tty = lobbyTty(parts, channel, terminal)
    onResize.add(({ cols, rows }) => tty.screen.resize({ columns: cols!, rows: rows! }))
    const code =
      'exec' in what ? await lobbyLineOnTty(parts, tty, terminal, what.exec) : await lobbyPrompt(parts, tty, terminal)
    tty.close()
    finish(code)
  }

  /** `ssh web` typed in the lobby. */
  async #enterFromLobby(
    channel: ServerChannel,
    vm: string,
    words: readonly string[],
    { pty, env, agent }: GuestRequest,
    onResize: Set<(size: PseudoTtyOptions) => void>,
  ): Promise<number> {
    const [first] = words
    if (first?.startsWith('-')) {
      channel.write(`Flags are for an ssh of your own:  ssh ${vm}@…\r\n`)
      return 2
    }
    const guest = await this.#into(vm, undefined, true)
    try {
      const what = first === undefined ? { shell: true as const } : { exec: words.join(' ') }
      const inside = await openSession(guest, { what, pty, env, agent })
      const resize = resizing(inside)
      onResize.add(resize)
      this.#wakeFor(channel)
      const code = await new Promise<number>((resolve) => joinSession(channel, inside, resolve))
      onResize.delete(resize)
      return code
    } finally {
      guest.end()
    }
  }

  /** Says on a session's standard error why there is none. */
  #refuse(channel: ServerChannel, thrown: unknown): void {
    const known = thrown instanceof Refusal
    if (!known) this.#log.error({ err: thrown }, 'a session failed in an unexpected way')
    const lines = known ? [thrown.message, thrown.hint] : ['Croft failed in a way it did not expect.']
    channel.stderr.write(`${lines.filter(Boolean).join('\r\n')}\r\n`, () => {
      channel.exit(known ? thrown.exit : 1)
      channel.end()
    })
  }

  /** A connection that is to be forwarded: from within the VM, or, in the lobby, to a VM. */
  #direct(
    accept: () => ServerChannel,
    reject: () => void,
    to: { destIP: string; destPort: number } | { socketPath: string },
  ): void {
    this.#directTo(accept, to).catch((error: Error) => {
      this.#log.debug({ err: error.message }, 'a connection could not be forwarded')
      refuseChannel(this.#client, reject, plainText(error.message).slice(0, 200))
    })
  }

  async #directTo(
    accept: () => ServerChannel,
    to: { destIP: string; destPort: number } | { socketPath: string },
  ): Promise<void> {
    if (!hasRoom(this.#client)) throw new Error(tooMany)
    if (!this.#permits.forwarding) throw new Error('its certificate does not permit it')
    if (this.#login?.to !== 'lobby') {
      const guest = await this.#enter(0)
      const inside = await new Promise<ClientChannel>((resolve, reject) => {
        const opened = (error: Error | undefined, channel: ClientChannel) => (error ? reject(error) : resolve(channel))
        if ('socketPath' in to) guest.openssh_forwardOutStreamLocal(to.socketPath, opened)
        else guest.forwardOut('127.0.0.1', 0, to.destIP, to.destPort, opened)
      })
      return this.#join(accept(), inside)
    }
    if ('socketPath' in to) throw new Error('the lobby has no sockets')
    const { croftd } = this.#gateway
    const entry = await croftd.enter(this.who!, { vm: to.destIP, user: null, noted: false })
    const socket = await connectTo(entry.address, to.destPort)
    this.#keep(entry.id, socket)
    this.#join(accept(), socket)
  }

  /** What a client asks of the connection as a whole: to be connected to from within the VM. */
  #request(
    name: string,
    info: { bindAddr: string; bindPort: number; socketPath: string },
    accept: ((port?: number) => void) | undefined,
    reject: (() => void) | undefined,
  ): void {
    const refuse = (error: Error) => {
      this.#log.debug({ err: error.message, name }, 'a request was refused')
      reject?.()
    }
    if (this.#login?.to === 'lobby' || !this.#permits.forwarding) {
      refuse(new Error('nothing is forwarded from there'))
      return
    }
    const done = (error?: Error | null, port?: number) => (error ? refuse(error) : accept?.(port))
    this.#enter(0).then((guest) => {
      this.#forwardBack(guest)
      if (name === 'tcpip-forward') guest.forwardIn(info.bindAddr, info.bindPort, done)
      else if (name === 'cancel-tcpip-forward') guest.unforwardIn(info.bindAddr, info.bindPort, done)
      else if (name === 'streamlocal-forward@openssh.com') guest.openssh_forwardInStreamLocal(info.socketPath, done)
      else if (name === 'cancel-streamlocal-forward@openssh.com')
        guest.openssh_unforwardInStreamLocal(info.socketPath, done)
      else refuse(new Error('it is not known'))
    }, refuse)
  }

  /** Connections that come from within the VM go to the client. */
  #forwardBack(guest: Client): void {
    if (guest.listenerCount('tcp connection') > 0) return
    guest.on('tcp connection', ({ destIP, destPort, srcIP, srcPort }, accept, reject) => {
      if (!hasRoom(guest)) return reject?.()
      this.#client.forwardOut(destIP, destPort, srcIP, srcPort, (error, channel) =>
        error ? reject?.() : this.#join(channel, accept() as ClientChannel),
      )
    })
    guest.on('unix connection', ({ socketPath }, accept, reject) => {
      if (!hasRoom(guest)) return reject?.()
      this.#client.openssh_forwardOutStreamLocal(socketPath, (error, channel) =>
        error ? reject?.() : this.#join(channel as ServerChannel, accept() as ClientChannel),
      )
    })
  }
}

/** Gives a terminal in a VM the size of the client's. */
const resizing =
  (inside: ClientChannel) =>
  ({ rows, cols, height, width }: PseudoTtyOptions): void =>
    inside.setWindow(rows!, cols!, height!, width!)
