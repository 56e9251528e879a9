import type { Image, Layer, Vm } from '../store/index.ts'

/** What the box needs of the world around it. Each is an interface made here and filled in by `main.ts`. */

export interface DomainInfo {
  uuid: string
  /** `paused` has its memory but does not run; `crashed` and `off` have none. */
  state: 'running' | 'paused' | 'off' | 'crashed'
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
}

export interface VmStats {
  /** Whole CPU time since the start, in nanoseconds. */
  cpuTimeNs: number
  /** What the VM costs the box: resident memory of its process, in bytes. */
  residentBytes: number
}

/** All calls are safe to repeat: starting what runs, or removing what is gone, is done already. */
export interface Hypervisor {
  /** The domains that belong to this state folder. */
  domains(): Promise<DomainInfo[]>
  /** Defines or redefines; a running domain keeps its present shape until its next start. */
  define(spec: DomainSpec): Promise<void>
  undefine(uuid: string): Promise<void>
  start(uuid: string): Promise<void>
  /** Asks the guest to shut down, through its agent or by its power button; its end shows as a `stopped` event. */
  askShutdown(uuid: string, byAgent: boolean): Promise<void>
  powerOff(uuid: string): Promise<void>
  resume(uuid: string): Promise<void>
  /** Tells a running domain that its disk has become larger. */
  growDisk(uuid: string, bytes: number): Promise<void>
  /** One guest agent command; its `return` value. @throws CroftError `guest-failed` */
  agent(uuid: string, command: object, timeoutS?: number): Promise<unknown>
  stats(): Promise<Map<string, VmStats>>
  watch(listener: (event: DomainEvent) => void): () => void
  /** Undefined when fine, else a sentence: why libvirt can't be used now. */
  trouble(): string | undefined
}

export interface Network {
  /** Makes the network and the firewall as they should be for the VMs there are; whatever is there already stays. */
  restore(current: () => readonly Vm[]): Promise<void>
  add(vm: Vm): Promise<void>
  remove(vm: Vm): Promise<void>
}

/** The files of the state folder that are a VM's or an image's. Paths are relative to it. */
export interface Files {
  /** Makes a layer for a VM to write, empty on its parent; one that is there already begins anew. */
  createDisk(layer: Layer, parent: Layer, diskGiB: number): Promise<void>
  /** Grows the virtual size of a disk that no VM has open. */
  growDisk(layer: Layer, diskGiB: number): Promise<void>
  /** Removes a file or folder; one that is not there is removed already. */
  remove(path: string): Promise<void>
  /** Bytes that it takes on the box; nothing when it is not there. */
  usage(path: string): Promise<number>
  /** The files and folders that belong to one thing each, and have its id for a name. */
  list(): Promise<{ id: string; path: string }[]>
}

export interface ProgramResult {
  code: number
  stdout: string
  stderr: string
}

export interface Guests {
  /** Writes who the guest is (name, keys, machine-id, clock …) into it and starts its SSH server. */
  personalize(vm: Vm, image: Image): Promise<void>
  /** Runs a script as root through the guest agent. */
  script(uuid: string, script: string, timeoutMs?: number): Promise<ProgramResult>
  /** Makes the folder of a new VM with its host key; the same key when asked again. */
  prepare(vm: Vm): Promise<void>
  /** Removes that folder: keys and console. */
  forget(vm: Vm): Promise<void>
  /** The last part of the serial console, as text that is safe to print. */
  consoleTail(vm: Vm, lines: number): Promise<string>
}

/** What a finished recipe says of the image it built; sizes in GiB of the virtual disk. */
export interface BuiltImage {
  version: string
  cmdline: string
  user: string
  ports: number[]
  diskGiB: number
}

export interface ImageFiles {
  /** Names of the recipes that can be built. */
  recipes(): Promise<string[]>
  /** Runs a recipe into a folder of its own. A half-built folder is removed by `discard`. */
  build(recipe: string, imageId: string, report: (step: string, fraction: number) => void): Promise<void>
  /** Puts what `build` made where the records say (see `imageFileNames`), read-only. May be repeated. */
  place(imageId: string): Promise<BuiltImage>
  /** Removes what `build` and `place` made. */
  discard(imageId: string): Promise<void>
}
