import type { Socket } from 'node:net'
import type { Logger } from 'pino'
import type { Client, ClientChannel, Connection, ServerChannel } from 'ssh2'
import type { Login } from '../../core/access/login.ts'
import { type Croftd, Refusal } from './croftd.ts'
import { connectTo, type GuestConnections, type GuestRequest, join, NoChannel, openSession } from './guest.ts'
import type { ConnectingClient } from './messages.ts'
import { channelsOf } from './ssh2-patches.ts'

/** A connection to a VM's sshd or to one of its other ports. */
interface Open {
  once(event: 'close', then: () => void): unknown
  destroy(): unknown
}

/** What `VmAccess` needs from the gateway. */
export interface VmAccessParts {
  readonly croftd: Croftd
  readonly guests: GuestConnections
  readonly log: Logger
  /** Called when the set of open connections to VMs has changed. */
  changed(): void
}

/** One client's connections to VMs: to the VM that it logged in to or, from the lobby, to any VM. */
export class VmAccess {
  readonly #client: Connection
  readonly #parts: VmAccessParts
  readonly #who: () => ConnectingClient
  readonly #login: () => Login | undefined
  /** The client's connections to the VM that it logged in to. */
  readonly #guests: Promise<Client>[] = []
  /** All open connections of the client to VMs, each with the VM's id. */
  readonly #open = new Map<Open, string>()
  /** VMs that have been put to sleep while the client has a connection to them. */
  readonly #asleep = new Set<string>()

  constructor(client: Connection, parts: VmAccessParts, who: () => ConnectingClient, login: () => Login | undefined) {
    this.#client = client
    this.#parts = parts
    this.#who = who
    this.#login = login
  }

  /** Ends the client's connections to the VM that it logged in to. */
  close(): void {
    for (const each of this.#guests) each?.then((guest) => guest.end()).catch(() => {})
  }

  /**
   * Connects to the VM that the client logged in to, and wakes it.
   * @param nth number of the connection
   * @throws Refusal
   */
  enter(nth = 0): Promise<Client> {
    this.#guests[nth] ??= this.#enterNth(nth)
    return this.#guests[nth]
  }

  async #enterNth(nth: number): Promise<Client> {
    const login = this.#login()
    if (login?.to !== 'vm') throw new Refusal('There is no VM by that name.', 'ssh croft@… ls shows them all.', 3)
    if (nth === 0) {
      const guest = await this.into(login.vm, login.user, false)
      guest.once('close', () => setTimeout(() => this.#client.end(), 500).unref())
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

  /**
   * Opens a session in the VM. Opens a further connection when sshd accepts no more sessions on the present ones
   * (`MaxSessions`).
   * @throws Refusal
   */
  async openSession(wanted: GuestRequest): Promise<ClientChannel> {
    for (let nth = 0; ; nth++) {
      const guest = await this.enter(nth)
      try {
        return await openSession(guest, wanted)
      } catch (error) {
        if (!(error instanceof NoChannel) || channelsOf(guest) === 0) throw error
      }
    }
  }

  /**
   * Enters a VM, which counts as in use by a session.
   * @param noted whether the entry has been recorded already
   * @throws Refusal
   */
  async into(vm: string, user: string | undefined, noted: boolean): Promise<Client> {
    const { id, guest } = await this.#connect(vm, user, noted)
    this.#keep(id, guest)
    return guest
  }

  /** Connects to a port of a VM. @throws Refusal */
  async intoPort(vm: string, port: number): Promise<Socket> {
    const entry = await this.#parts.croftd.enter(this.#who(), { vm, user: null, noted: false })
    const socket = await connectTo(entry.address, port)
    this.#keep(entry.id, socket)
    return socket
  }

  async #connect(vm: string, user: string | undefined, noted: boolean): Promise<{ id: string; guest: Client }> {
    const { croftd, guests, log } = this.#parts
    const entry = await croftd.enter(this.#who(), { vm, user: user ?? null, noted })
    const guest = await guests.open(entry, this.#client).catch((error: Error) => {
      throw new Refusal(`${entry.name} can't be entered: ${error.message}.`, `${entry.croft} logs ${entry.name}`, 255)
    })
    guest.on('error', (err) => log.info({ vm: entry.name, err: err.message }, 'a connection to a VM failed'))
    return { id: entry.id, guest }
  }

  #keep(vm: string, open: Open): void {
    this.#open.set(open, vm)
    this.#parts.changed()
    open.once('close', () => {
      this.#open.delete(open)
      this.#parts.changed()
    })
  }

  /** The ids of the VMs that the client is connected to, one for each connection. */
  get within(): string[] {
    return [...this.#open.values()]
  }

  /** Called when a VM has ended. Closes the client's connections to it. */
  ended(vm: string): void {
    for (const [open, id] of this.#open) if (id === vm) open.destroy()
  }

  /** Called when a VM has been put to sleep. The VM is woken when the client next sends something. */
  asleep(vm: string): void {
    if (this.within.includes(vm)) this.#asleep.add(vm)
  }

  /** Joins a client's channel to a channel or a socket in a VM. */
  join(channel: ServerChannel, other: ClientChannel | Socket): void {
    this.wakeFor(channel)
    join(channel, other)
  }

  /** Wakes sleeping VMs whenever the client sends data on this channel. */
  wakeFor(channel: ServerChannel): void {
    channel.on('data', () => {
      if (this.#asleep.size > 0) this.#wake()
    })
  }

  #wake(): void {
    const { croftd, log } = this.#parts
    for (const vm of this.#asleep)
      croftd.enter(this.#who(), { vm, user: null, noted: true }).catch((thrown) => {
        log.warn({ vm, err: thrown }, 'could not wake a VM')
        this.#asleep.add(vm)
      })
    this.#asleep.clear()
  }
}
