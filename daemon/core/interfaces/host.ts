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

/** Memory deduplication (KSM): the kernel keeps one copy of pages that are the same in several VMs. */
export interface Ksm {
  /** Null where the kernel has no KSM. `savedBytes`: the additional memory that would be used without it. */
  read(): Promise<{ on: boolean; savedBytes: number } | null>
  /** Turns KSM on or off. @throws CroftError `unavailable` */
  set(on: boolean): Promise<void>
}

/** An SSH connection to a VM, lent to a command. */
export interface Loan {
  /** Arguments for ssh to enter the VM through it. */
  to: readonly string[]
  giveBack(): void
}

/** SSH connections to VMs that commands share. */
export interface SharedConnections {
  /** @returns undefined where a command needs a connection of its own; `refused`: why there is none, in ssh's words */
  borrow(vm: Vm, user: string): Promise<Loan | { refused: string } | undefined>
}

/** The machine under the box, as commands see it. */
export interface Host {
  /** The state folder. */
  folder: string
  /** SSH connections to VMs, for commands. */
  connections: SharedConnections
  usage(): Promise<HostUsage>
  /** What each VM, running or stopped, takes now, by id. */
  vmUsage(): Promise<Map<string, VmUsage>>
  pressure(): Promise<Pressure>
  ksm: Ksm
  counters(): Promise<Counters>
  /** The measurements of the box or of a VM up to now. */
  history(subject: Subject, range: Range): Promise<History>
  /** Polls which VMs are in use now and updates the box's `usage`. @throws CroftError `unavailable` without libvirt */
  lookForUse(): Promise<void>
  versions(): Promise<Versions>
  checks(): Promise<Check[]>
  web: Web
}
