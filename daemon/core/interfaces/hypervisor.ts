import type { Hardware, Image, Layer, Limits, Memory, MemoryBase, Vm } from '../../store/index.ts'

export interface DomainInfo {
  uuid: string
  /** `paused` has its memory but does not run; `crashed` and `off` have none. */
  state: 'running' | 'paused' | 'off' | 'crashed'
  /** Why, in a word or two of libvirt's. */
  reason?: string
  /** Whether the guest agent has its end of the channel open. */
  agent: boolean
  /** Id of the memory base that it maps; null for none. */
  base?: string | null
}

export type DomainEvent =
  /** The connection is new: anything known may be out of date; list everything again. */
  | { type: 'connected' }
  | { type: 'disconnected'; reason: string }
  | { type: 'started' | 'paused' | 'resumed'; uuid: string; reason: string }
  | { type: 'stopped'; uuid: string; how: 'shutdown' | 'powered-off' | 'crashed' | 'saved'; reason: string }
  | { type: 'rebooted'; uuid: string }
  | { type: 'agent'; uuid: string; connected: boolean }

export interface DomainSpec {
  vm: Vm
  image: Image
  disk: Layer
  /** The hardware from which the memory to load was saved; without it, today's. */
  hardware?: Hardware | undefined
}

export interface VmStats {
  /** Total CPU time since the start, in nanoseconds. */
  cpuTimeNs: number
  /** The part of it that the virtual CPUs took: without QEMU's own work, such as saving memory. */
  guestTimeNs: number
  /** How long its virtual CPUs have waited for a CPU of the box, in nanoseconds. */
  waitedNs: number
  /** Resident memory of its process, in bytes. */
  residentBytes: number
  /** The part of it that only this VM has: what its end gives back to the box. */
  ownBytes: number
  /** The part of it that is pages of files: of its memory base and of QEMU, which other VMs have as well. */
  fileBytes: number
  /** Counted since the start over all network interfaces and disks, as the guest sees them. */
  receivedBytes: number
  sentBytes: number
  sentPackets: number
  diskReadBytes: number
  diskWrittenBytes: number
  /** The state of its balloon; undefined when it has none. */
  balloon:
    | {
        /** The guest's memory now, and its maximum. */
        bytes: number
        maximumBytes: number
        /** What the guest could use without swapping, by its last report; undefined when it has never reported. */
        usableBytes: number | undefined
        /** The part of it that caches files. */
        cachesBytes: number
        /** Pages that the guest had to read from disk since it started. */
        majorFaults: number
        /** When the guest last reported, in seconds since 1970. */
        saidAt: number
      }
    | undefined
}

/** All calls are idempotent: starting a running domain, or removing one that is gone, succeeds. */
export interface Hypervisor {
  /** The domains that belong to this state folder. */
  domains(): Promise<DomainInfo[]>
  /** Defines or redefines a domain; a running one keeps its present shape until its next start. */
  define(spec: DomainSpec): Promise<void>
  /** Undefines a domain and removes its QEMU log. */
  undefine(vm: Pick<Vm, 'id' | 'uuid'>): Promise<void>
  start(uuid: string): Promise<void>
  /** Returns those of the files that the VM's QEMU has open for writing. */
  writes(vm: Pick<Vm, 'id'>, files: readonly string[]): Promise<string[]>
  /** Makes QEMU reopen a layer beneath its disk read-only, after a commit into that layer did not finish. */
  onlyRead(uuid: string, layer: Layer, beneath: Layer): Promise<void>
  /** Asks the guest to shut down, through its agent or by its power button; a `stopped` event follows when it has. */
  askShutdown(uuid: string, byAgent: boolean): Promise<void>
  powerOff(uuid: string): Promise<void>
  pause(uuid: string): Promise<void>
  resume(uuid: string): Promise<void>
  /** The hardware that a VM with these limits would have if it started now. */
  hardware(image: Image, limits: Pick<Limits, 'cpus' | 'memoryMiB'>): Promise<Hardware>
  /** The hardware of a running domain. */
  hardwareOf(uuid: string, image: Image): Promise<Hardware>
  /** The state of a domain; undefined when there is no such domain. */
  state(uuid: string): Promise<DomainInfo['state'] | undefined>
  /**
   * Saves the memory of a running domain and ends the domain.
   * @throws CroftError `cancelled` by `abortJob`, `disk-full`; the domain then runs on
   */
  save(uuid: string, memory: Memory): Promise<void>
  /**
   * Saves memory at the instant at which a running domain switches to a new disk; it runs on. Both happen, or neither.
   * @param memory null to leave that out
   * @param agent whether the guest's agent answers: the guest then flushes its files
   */
  snapshot(uuid: string, memory: Memory | null, disk: Layer, agent: boolean): Promise<void>
  /**
   * Starts a domain from memory. The memory may have been saved from another domain: the started one is `spec`.
   * @param base the memory base that the memory may be a difference from
   * @param map whether the domain is to map that base; otherwise the base's pages are copied
   * @throws CroftError `memory-unusable` and others; the domain has then not run
   */
  load(
    spec: DomainSpec,
    memory: Memory,
    base: MemoryBase | undefined,
    map: boolean,
    how: 'running' | 'paused',
  ): Promise<void>
  /** Whether the memory's file exists and is complete, as far as its header tells. */
  memoryComplete(memory: Memory): Promise<boolean>
  /**
   * Rewrites saved memory into another file without the parts that take time to load and hold nothing, and without
   * what a base has; `load` reads either.
   * @param base the memory base of its domain, if any
   * @param format `zstd` compresses it, at the lowest CPU and disk priority @param signal aborted to cancel
   * @throws CroftError `cancelled`, `disk-full`, `memory-unusable` when the base is damaged
   */
  rewrite(
    memory: Memory,
    base: MemoryBase | undefined,
    to: string,
    format: 'raw' | 'zstd',
    signal: AbortSignal,
  ): Promise<void>
  /**
   * Copies the pages of saved memory into a new memory base.
   * @param under the memory base that the memory may be a difference from
   * @param file path for what is left of the memory: a difference from the new base @param signal aborted to cancel
   * @throws CroftError `cancelled`, `disk-full`, `memory-unusable`
   */
  extractBase(
    memory: Memory,
    under: MemoryBase | undefined,
    base: MemoryBase,
    file: string,
    signal: AbortSignal,
  ): Promise<void>
  /**
   * Checks that a memory base is as it was made, reading all of it.
   * @throws CroftError `memory-unusable` when it is missing, cut short or changed; `unavailable` when bases can't be
   * mapped by this installation of Croft
   */
  checkBase(base: MemoryBase): Promise<void>
  /** The path, relative to the state folder, of a domain's current disk; undefined when there is no domain. */
  diskOf(uuid: string): Promise<string | undefined>
  /** Aborts a domain's save or snapshot, if one is under way; its caller gets `cancelled`. */
  abortJob(uuid: string): Promise<void>
  /** Resolves when no save or snapshot of the domain is under way. */
  jobDone(uuid: string): Promise<void>
  /**
   * Commits the layers above `base`, up to `top`, into `base`, a layer beneath a running domain's disk. The layer above
   * `top` then has `base` as its backing file; when `top` is the disk itself, the domain switches to `base`.
   * @param signal aborted to cancel
   * @throws CroftError `cancelled` on the signal or when the domain ends; everything is then as before
   */
  commit(uuid: string, top: Layer, base: Layer, signal?: AbortSignal): Promise<void>
  /**
   * Ends a domain's `commit`, if one is under way; a commit that is all but done completes.
   * @returns whether one was under way
   */
  endBlockJob(uuid: string): Promise<boolean>
  /**
   * Squeezes a running guest to `leftMiB` of its `fullMiB` of memory for a moment, so that the memory it has freed
   * goes back to the box.
   * @param signal aborted to end that immediately
   */
  pulse(uuid: string, leftMiB: number, fullMiB: number, squeezeMs: number, signal: AbortSignal): Promise<void>
  /**
   * Sets the balloon so that a running guest has that many bytes of memory from now on; the guest takes a while.
   * @param statsS the interval, in seconds, at which the guest reports what it uses
   */
  setBalloon(uuid: string, bytes: number, statsS: number): Promise<void>
  /** Sets a running domain's CPU shares, relative to those of others that want CPU time; see `cpuShares` in qos.ts. */
  setCpuShares(uuid: string, shares: number): Promise<void>
  /**
   * Limits the CPU time of a running domain, in percent of one CPU; null for no limit.
   * @throws CroftError without cgroups
   */
  setCpuLimit(uuid: string, percent: number | null): Promise<void>
  /** Sets a running domain's disk weight, relative to those of others that want the disks; the default is 100. */
  setDiskWeight(uuid: string, weight: number): Promise<void>
  /** Limits a running guest's disk reads and writes together; null for no limit. */
  setDiskLimit(uuid: string, bytesPerS: number | null): Promise<void>
  /** Tells a running domain that its disk has become larger. */
  growDisk(uuid: string, bytes: number): Promise<void>
  /** Runs one guest agent command. @returns its `return` value @throws CroftError `guest-failed` */
  agent(uuid: string, command: object, timeoutS?: number): Promise<unknown>
  stats(): Promise<Map<string, VmStats>>
  watch(listener: (event: DomainEvent) => void): () => void
  /** What confines each QEMU to its own VM's files, such as `apparmor`; undefined for nothing. */
  confinement(): Promise<string | undefined>
  /** A sentence that says why libvirt can't be used now; undefined when it can. */
  trouble(): string | undefined
}
