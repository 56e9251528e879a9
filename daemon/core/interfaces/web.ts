import type { Link, Session, Token, Vm, WebSettings } from '../../store/index.ts'
import type { Check } from './check.ts'

/** The client's end of a connection, `tcp 203.0.113.9:51234` or `udp [2001:db8::1]:51234`: HTTP/3 goes by UDP. */
export type Peer = string

/** Connections of clients, as the box's kernel has them. */
export interface ConnectionTable {
  /** Those by TCP that are open. */
  open(): Promise<Set<Peer>>
  kill(peers: readonly Peer[]): Promise<void>
  /** Cuts those from this box to an address of a VM: nobody there will say that they are over. */
  killTo(address: string): Promise<void>
}

/** Somebody signed in, and where. */
export type SignIn = Session & { hosts: string[] }

/** Among the commands of a token: the web addresses of VMs. */
export const webScope = 'web'

/** A TCP port on which a guest listens. */
export interface Listening {
  port: number
  /** Only on the guest's own loopback: from outside it can't be reached. */
  loopback: boolean
}

/** Who may come in by the web, and where. */
export interface Web {
  /** Whether this box has web addresses; without them there is still the daemon's own port. */
  on: boolean
  /** Links that sign in whoever opens them, once, within 10 minutes: at the box's own address, and at the daemon's port. */
  loginLinks(): { link: string | null; local: string }
  /** Those who are signed in. */
  signIns(): SignIn[]
  endSignIn(id: string): Promise<void>
  endAllSignIns(): Promise<void>
  /** A link that lets whoever has it into one address of a VM. @param port null for its plain address */
  shareLink(vm: Vm, port: number | null, name: string, seconds: number): Promise<{ link: Link; url: string }>
  /** The links into a VM that work now. */
  linksOf(vm: Vm): Link[]
  /** @param seconds null: it does not end by itself @returns the token and its secret, which is kept nowhere */
  makeToken(
    given: Pick<Token, 'name' | 'vm' | 'commands'>,
    seconds: number | null,
  ): Promise<{ token: Token; secret: string }>
  /** The tokens that work now. */
  tokens(): Token[]
  /** Where a VM of a name would be opened. */
  addressOfName(name: string): string
  /** Where a VM, or one port of it, is opened. */
  address(vm: Vm, port?: number | null): string
  /** The port that a VM's plain address leads to when none is set: asked of the guest. Undefined when none listens. */
  findPort(vm: Vm): Promise<number | undefined>
  /** The TCP ports that a running VM listens on, asked of the guest; empty for one that says nothing. */
  listening(vm: Vm): Promise<Listening[]>
  /** Has the box be reached by another name, or with other certificates. @throws CroftError `conflict` when Caddy refuses it */
  change(settings: WebSettings): Promise<void>
  /** Looks whether names lead here, ports are reached and certificates are right. */
  check(): Promise<Check[]>
}
