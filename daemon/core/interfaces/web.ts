import type { Link, Session, Token, Vm, WebSettings } from '../../store/index.ts'
import type { Check } from './check.ts'

/** The client's end of a connection, `tcp 203.0.113.9:51234` or `udp [2001:db8::1]:51234` (HTTP/3 runs over UDP). */
export type Peer = string

/** The connections of clients, as the box's kernel knows them. */
export interface ConnectionTable {
  /** The open TCP connections. */
  open(): Promise<Set<Peer>>
  kill(peers: readonly Peer[]): Promise<void>
  /** Kills the connections from this box to the address of a VM that can no longer close them itself. */
  killTo(address: string): Promise<void>
}

/** A signed-in session, and the host names that it is for. */
export type SignIn = Session & { hosts: string[] }

/** An entry among a token's commands that stands for the web addresses of VMs. */
export const webScope = 'web'

/** A TCP port on which a guest listens. */
export interface Listening {
  port: number
  /** It listens only on the guest's loopback and can't be reached from outside. */
  loopback: boolean
}

/** Who has access through the web, and to what. */
export interface Web {
  /** Whether this box has web addresses; without them there is still the daemon's own port. */
  on: boolean
  /** Makes single-use login links, valid for 10 minutes: for the box's own address, and for the daemon's port. */
  loginLinks(): { link: string | null; local: string }
  /** The sessions that are signed in now. */
  signIns(): SignIn[]
  endSignIn(id: string): Promise<void>
  endAllSignIns(): Promise<void>
  /** Makes a link that gives anyone who has it access to one address of a VM. @param port null for its plain address */
  shareLink(vm: Vm, port: number | null, name: string, seconds: number): Promise<{ link: Link; url: string }>
  /** The share links of a VM that are valid now. */
  linksOf(vm: Vm): Link[]
  /** @param seconds null: it does not expire @returns the token and its secret, which is stored nowhere */
  makeToken(
    given: Pick<Token, 'name' | 'vm' | 'commands'>,
    seconds: number | null,
  ): Promise<{ token: Token; secret: string }>
  /** The tokens that are valid now. */
  tokens(): Token[]
  /** The web address that a VM of this name would have. */
  addressOfName(name: string): string
  /** The web address of a VM, or of one of its ports. */
  address(vm: Vm, port?: number | null): string
  /** Asks the guest for the port behind a VM's plain address when none is set. Undefined when none listens. */
  findPort(vm: Vm): Promise<number | undefined>
  /** Asks a running guest for the TCP ports that it listens on; empty when it does not answer. */
  listening(vm: Vm): Promise<Listening[]>
  /** Changes the box's domain or certificates. @throws CroftError `conflict` when Caddy refuses them */
  change(settings: WebSettings): Promise<void>
  /** Checks that names resolve to this box, its ports can be reached and its certificates are right. */
  check(): Promise<Check[]>
}
