import type { Link, Vm } from '../store/index.ts'

/** What the machine under the box has and uses now. Bytes, and percent of all CPUs together. */
export interface HostUsage {
  cpus: number
  cpuPercent: number
  memoryBytes: number
  memoryUsedBytes: number
  diskBytes: number
  diskFreeBytes: number
}

/** What one VM takes of the box now; nulls while it takes nothing. */
export interface VmUsage {
  /** Percent of one CPU. */
  cpuPercent: number | null
  memoryBytes: number | null
  diskBytes: number | null
}

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

/** The box's web addresses. */
export interface Web {
  /** A link that signs in whoever opens it, once, within 10 minutes. */
  loginLink(): string
  /** A link that lets whoever has it into one address of a VM. @param port null for its plain address */
  shareLink(vm: Vm, port: number | null, name: string, seconds: number): Promise<{ link: Link; url: string }>
  /** The links into a VM that work now. */
  linksOf(vm: Vm): Link[]
  /** Where a VM, or one port of it, is opened. */
  address(name: string, port?: number): string
  /** The port that a VM's plain address leads to when none is set: asked of the guest. Undefined when none listens. */
  findPort(vm: Vm): Promise<number | undefined>
}

/** The machine under the box, as commands see it. */
export interface Host {
  /** The state folder. */
  folder: string
  usage(): Promise<HostUsage>
  /** What each of these running or stopped VMs takes now. By id. */
  vmUsage(): Promise<Map<string, VmUsage>>
  /** Looks who uses the VMs now: `uses` of the box then says so. @throws CroftError `unavailable` without libvirt */
  lookForUse(): Promise<void>
  versions(): Promise<Versions>
  checks(): Promise<Check[]>
  /** Absent when the configuration has none. */
  web?: Web | undefined
}
