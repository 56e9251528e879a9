import type { Link, Session, Token, Vm, WebSettings } from '../../store/index.ts'
import type { VmStats } from './ports.ts'
import type { Range } from './ranges.ts'

/** What the machine under the box has and uses now. Bytes, and percent of all CPUs together. */
export interface HostUsage {
  cpus: number
  cpuPercent: number
  memoryTotalBytes: number
  memoryUsedBytes: number
  /** Of all kinds together; 0 when there is none. */
  swapTotalBytes: number
  swapUsedBytes: number
  diskTotalBytes: number
  diskFreeBytes: number
  /** What images, and what several VMs stand on, take of the disk: all of Croft's that goes with no one VM. */
  diskKeptBytes: number
}

/** What one VM takes of the box now; nulls while it takes nothing. */
export interface VmUsage {
  /** Percent of one CPU. */
  cpuPercent: number | null
  memoryBytes: number | null
  /** All that goes with it: its disk, checkpoints and saved memory, and what only they stand on. */
  diskBytes: number | null
}

/** Percent of the last 10 s in which something waited for a CPU, for memory, or for a disk; nulls where the kernel does not tell. */
export interface Pressure {
  cpu: number | null
  memory: number | null
  io: number | null
}

/** What only counts up, as it was last measured: for who takes rates of it himself. */
export interface Counters {
  /** Time in which the CPUs of the box were busy since it came up, of all together. */
  cpuBusySeconds: number
  /** Of the VMs that run, by id. */
  vms: Map<string, VmStats>
}

/** What was measured of a subject, in steps of equal length. */
export interface History {
  stepSeconds: number
  /** The beginning of the first step, in seconds since 1970. */
  from: number
  /** The mean of each step; null where nothing was measured. */
  series: Record<string, (number | null)[]>
}

/** The box itself, or a VM by its id. */
export type Subject = 'box' | { vm: string }

/** One thing that `doctor` looked at. */
export interface Check {
  what: string
  state: 'fine' | 'look' | 'wrong'
  says: string
  /** What to do, when something is to be done. */
  advice?: string
}

export interface Versions {
  croft: string
  node: string
  libvirt: string
  qemu: string
}

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

/** Pages of memory that are the same in several VMs, of which the kernel keeps one (KSM). */
export interface SamePages {
  /** Null where the kernel has no such thing. `savedBytes`: what would be used more without it. */
  read(): Promise<{ on: boolean; savedBytes: number } | null>
  /** @throws CroftError `unavailable` */
  set(on: boolean): Promise<void>
}

/** An SSH connection to a VM that was lent to a command. */
export interface Loan {
  /** Arguments for ssh to enter the VM by it. */
  to: readonly string[]
  giveBack(): void
}

/** SSH connections to VMs that commands share. */
export interface SharedConnections {
  /** @returns undefined where a command has to have a connection of its own; why there can be none, in ssh's words */
  borrow(vm: Vm, user: string): Promise<Loan | { refused: string } | undefined>
}

/** The machine under the box, as commands see it. */
export interface Host {
  /** The state folder. */
  folder: string
  /** SSH connections to VMs, for commands. */
  connections: SharedConnections
  usage(): Promise<HostUsage>
  /** What each of these running or stopped VMs takes now. By id. */
  vmUsage(): Promise<Map<string, VmUsage>>
  pressure(): Promise<Pressure>
  samePages: SamePages
  counters(): Promise<Counters>
  /** What was measured of the box or of a VM up to now. */
  history(subject: Subject, range: Range): Promise<History>
  /** Looks who uses the VMs now: `uses` of the box then says so. @throws CroftError `unavailable` without libvirt */
  lookForUse(): Promise<void>
  versions(): Promise<Versions>
  checks(): Promise<Check[]>
  web: Web
}
