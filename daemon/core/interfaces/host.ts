import type { Vm } from '../../store/index.ts'
import type { Check } from './check.ts'
import type { Counters, History, HostUsage, Pressure, Range, Subject, VmUsage } from './metrics.ts'
import type { Web } from './web.ts'

export interface Versions {
  croft: string
  node: string
  libvirt: string
  qemu: string
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
