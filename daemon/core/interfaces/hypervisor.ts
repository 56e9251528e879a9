import type { Hardware, Image, Layer, Limits, Memory, Vm } from '../../store/index.ts'

/** What the box needs of the world around it. Each is an interface made here and filled in by `main.ts`. */

export interface DomainInfo {
  uuid: string
  /** `paused` has its memory but does not run; `crashed` and `off` have none. */
  state: 'running' | 'paused' | 'off' | 'crashed'
  /** Why it is so, in a word or two of libvirt's. */
  reason?: string
  /** Whether the guest agent has its end of the channel open. */
  agent: boolean
}

export type DomainEvent =
  /** The connection is new: what was known may be out of date; list everything again. */
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
  /** The hardware that memory which is to be loaded was saved from; without it, today's. */
  hardware?: Hardware | undefined
}

export interface VmStats {
  /** Whole CPU time since the start, in nanoseconds. */
  cpuTimeNs: number
  /** The part of it that its virtual CPUs took: without what QEMU does for it, such as saving its memory. */
  guestTimeNs: number
  /** For how long its virtual CPUs have waited for one of the box's. */
  waitedNs: number
  /** What the VM costs the box: resident memory of its process, in bytes. */
  residentBytes: number
  /** Counted since the start, over all of its network interfaces and disks, as the guest sees them. */
  receivedBytes: number
  sentBytes: number
  sentPackets: number
  diskReadBytes: number
  diskWrittenBytes: number
  /** Of its balloon, in bytes; undefined when it has none. */
  balloon:
    | {
        /** What the guest has of its memory now, and at most. */
        bytes: number
        maximumBytes: number
        /** What the guest could use without a swap, as it said last; undefined when it has never said anything. */
        usableBytes: number | undefined
        /** Files that it holds in memory, of that. */
        cachesBytes: number
        /** Pages that it had to read from disk since it started. */
        majorFaults: number
        /** When it said that, in seconds since 1970. */
        saidAt: number
      }
    | undefined
}

/** All calls are safe to repeat: starting what runs, or removing what is gone, is done already. */
export interface Hypervisor {
  /** The domains that belong to this state folder. */
  domains(): Promise<DomainInfo[]>
  /** Defines or redefines; a running domain keeps its present shape until its next start. */
  define(spec: DomainSpec): Promise<void>
  /** With what its QEMU has said. */
  undefine(vm: Pick<Vm, 'id' | 'uuid'>): Promise<void>
  start(uuid: string): Promise<void>
  /** Of these files, those that its QEMU has open for writing. */
  writes(vm: Pick<Vm, 'id'>, files: readonly string[]): Promise<string[]>
  /** Has it only read a layer beneath its disk, into which a commit did not come to its end. */
  onlyRead(uuid: string, layer: Layer, beneath: Layer): Promise<void>
  /** Asks the guest to shut down, through its agent or by its power button; its end shows as a `stopped` event. */
  askShutdown(uuid: string, byAgent: boolean): Promise<void>
  powerOff(uuid: string): Promise<void>
  pause(uuid: string): Promise<void>
  resume(uuid: string): Promise<void>
  /** The hardware that a VM with these limits has when it starts now. */
  hardware(image: Image, limits: Pick<Limits, 'cpus' | 'memoryMiB'>): Promise<Hardware>
  /** The hardware of a running domain. */
  hardwareOf(uuid: string, image: Image): Promise<Hardware>
  /** Undefined when there is no such domain. */
  state(uuid: string): Promise<DomainInfo['state'] | undefined>
  /** Saves the memory of a running domain, which ends. @throws CroftError `cancelled` by `abortJob`, `disk-full`; it then runs on */
  save(uuid: string, memory: Memory): Promise<void>
  /**
   * Saves memory at the instant at which a running domain turns to its new disk; it runs on. Both happen, or neither.
   * @param memory null to leave that out @param agent whether the guest's agent answers: it then writes out its files
   */
  snapshot(uuid: string, memory: Memory | null, disk: Layer, agent: boolean): Promise<void>
  /**
   * Starts a domain from memory, as another domain than it was saved from if need be: from then on it is `spec`.
   * @throws CroftError `memory-unusable` and others; the domain has then not run
   */
  load(spec: DomainSpec, memory: Memory, how: 'running' | 'paused'): Promise<void>
  /** Whether the memory's file is there and whole as far as its header says. */
  memoryComplete(memory: Memory): Promise<boolean>
  /**
   * Writes memory as it was saved once more into another file, without what costs to load and says nothing; `load` reads
   * one as the other.
   * @param format `zstd` compresses it, with what others leave of the box @param wanted ends it
   * @throws CroftError `cancelled`, `disk-full`
   */
  rewrite(memory: Memory, to: string, format: 'raw' | 'zstd', wanted: AbortSignal): Promise<void>
  /** The path, relative to the state folder, of the disk that a domain has now; undefined when there is no domain. */
  diskOf(uuid: string): Promise<string | undefined>
  /** Ends the save or snapshot that is under way for a domain, if there is one; who asked for it gets `cancelled`. */
  abortJob(uuid: string): Promise<void>
  /** Resolves when no save or snapshot of the domain is under way. */
  jobDone(uuid: string): Promise<void>
  /**
   * Writes into `base`, a layer beneath a running domain's disk, what the layers above it up to `top` hold. The one
   * above `top` then stands on `base`; when `top` is the disk itself, the domain turns to `base`.
   * @param wanted ends it, unless `top` is the disk
   * @throws CroftError `cancelled` on the signal or when the domain ends; all is then as it was
   */
  commit(uuid: string, top: Layer, base: Layer, wanted?: AbortSignal): Promise<void>
  /** Ends the `commit` that is under way for a domain: one that has all but happened happens. @returns whether one was */
  endBlockJob(uuid: string): Promise<boolean>
  /**
   * Has a running guest do with `leftMiB` of its `fullMiB` of memory for a moment, so that what it has freed is the box's.
   * @param wanted ends it at once
   */
  pulse(uuid: string, leftMiB: number, fullMiB: number, squeezeMs: number, wanted: AbortSignal): Promise<void>
  /**
   * Has a running guest do with so many bytes of its memory, from now on; it takes its time for that.
   * @param statsS how often it is to say what it uses
   */
  setBalloon(uuid: string, bytes: number, statsS: number): Promise<void>
  /** How much of the CPUs a running domain gets beside others that want them, in proportion to theirs: cpuShares of sharing.ts. */
  setCpuShares(uuid: string, shares: number): Promise<void>
  /** The most CPU time that a running domain takes, in percent of one CPU; null for no limit. @throws CroftError without cgroups */
  setCpuLimit(uuid: string, percent: number | null): Promise<void>
  /** How much of the box's disks a running domain gets beside others that want them: in proportion to theirs, 100 by itself. */
  setDiskWeight(uuid: string, weight: number): Promise<void>
  /** The most that a running domain's guest reads and writes together; null for no limit. */
  setDiskLimit(uuid: string, bytesPerS: number | null): Promise<void>
  /** Tells a running domain that its disk has become larger. */
  growDisk(uuid: string, bytes: number): Promise<void>
  /** One guest agent command; its `return` value. @throws CroftError `guest-failed` */
  agent(uuid: string, command: object, timeoutS?: number): Promise<unknown>
  stats(): Promise<Map<string, VmStats>>
  watch(listener: (event: DomainEvent) => void): () => void
  /** What keeps each QEMU from the files of other VMs, such as `apparmor`; undefined when nothing does. */
  confinement(): Promise<string | undefined>
  /** Undefined when fine, else a sentence: why libvirt can't be used now. */
  trouble(): string | undefined
}
