import { statfs } from 'node:fs/promises'
import { cpus } from 'node:os'
import { readCpuTicks, readMemory, readSwap } from '../adapters/kernel/load.ts'
import { type Box, layerOf, vmsOf } from '../core/box.ts'
import type { VmStats } from '../core/interfaces/hypervisor.ts'
import type { Counters, HostUsage, VmUsage } from '../core/interfaces/metrics.ts'
import { filesOfVms } from '../core/layer/disk-use.ts'
import { held } from '../core/layer/holds.ts'
import { hasMemory } from '../core/live.ts'
import { memoizeFor } from '../lib/async/memoize.ts'
import type { State, Vm } from '../store/index.ts'

const freshMs = 1000
const tickMs = 10_000
/** The unit of the kernel's CPU times: USER_HZ, which is the same on every Linux today. */
const ticksPerSecond = 100

interface Sample {
  at: number
  /** By domain UUID. */
  stats: ReadonlyMap<string, VmStats>
}

/**
 * Measures the box and its VMs: on request, and every 10 s while VMs run, so that percentages are recent. It measures
 * at most once per second, for all callers together.
 */
export class Meter {
  /**
   * The usage of the box, at most a second old; its CPU percentage covers the time between the last two measurements.
   */
  readonly host: () => Promise<HostUsage> = memoizeFor(freshMs, () => this.#measureHost())
  readonly #box: Box
  readonly #folder: string
  #sample: Sample = { at: Number.NEGATIVE_INFINITY, stats: new Map() }
  #percent = new Map<string, number>()
  #sampling: Promise<void> | undefined
  /** The files that go with each VM, and the state from which they were derived. */
  #files: { of: State; byVm: Map<string, string[]> } | undefined
  /** Sizes of VMs' own disks, by UUID, while the VMs do not run. */
  readonly #diskAtRest = new Map<string, { file: string; bytes: number }>()
  readonly #diskInUse = new Map<string, () => Promise<number>>()
  /** Sizes of the other files that go with a VM, by UUID; nobody writes them. */
  readonly #diskBeneath = new Map<string, { files: string; bytes: Promise<number> }>()
  /** The size of files that go with no single VM; measured at most every 10 s. */
  readonly #diskKept = memoizeFor(tickMs, () => this.#measureKept())
  #ticks = { busy: 0, all: 0 }
  readonly #timer: NodeJS.Timeout
  readonly #unwatch: () => void

  constructor(box: Box, folder: string) {
    this.#box = box
    this.#folder = folder
    this.#timer = setInterval(() => {
      if (this.#running().length) this.#refresh().catch(() => {})
    }, tickMs).unref()
    this.#unwatch = box.live.watch((uuid) => {
      this.#diskAtRest.delete(uuid)
      this.#diskInUse.delete(uuid)
      this.#diskBeneath.delete(uuid)
    })
  }

  close(): void {
    clearInterval(this.#timer)
    this.#unwatch()
  }

  /**
   * What each VM takes, by VM id, at most a second old; its CPU percentage covers the time between the last two queries
   * of libvirt. Without libvirt, the last known sizes of the disks.
   */
  async vms(): Promise<Map<string, VmUsage>> {
    await this.#refresh().catch(() => {})
    const vms = Object.values(this.#box.store.state.vms)
    this.#forgetAllBut(vms)
    const rows = await Promise.all(
      vms.map(async (vm): Promise<[string, VmUsage]> => {
        const diskBytes = await this.#disk(vm)
        if (!hasMemory(this.#box.live.get(vm.uuid))) return [vm.id, { cpuPercent: null, memoryBytes: null, diskBytes }]
        const cpuPercent = this.#percent.get(vm.uuid) ?? null
        return [vm.id, { cpuPercent, memoryBytes: this.#sample.stats.get(vm.uuid)?.ownBytes ?? null, diskBytes }]
      }),
    )
    return new Map(rows)
  }

  /** Forgets deleted VMs: a VM that did not run causes no event when it is deleted. */
  #forgetAllBut(vms: readonly Vm[]): void {
    const there = new Set(vms.map(({ uuid }) => uuid))
    for (const known of [this.#diskAtRest, this.#diskInUse, this.#diskBeneath])
      for (const uuid of known.keys()) if (!there.has(uuid)) known.delete(uuid)
  }

  /**
   * The memory that running VMs share, in bytes: of each memory base, and of QEMU, as much as the VM that has read most
   * of it, as of the last sample. The kernel counts it as available, because it could read it again.
   */
  sharedMemory(): number {
    const most = new Map<string, number>()
    for (const uuid of this.#running()) {
      const base = this.#box.live.get(uuid)?.base ?? ''
      most.set(base, Math.max(most.get(base) ?? 0, this.#sample.stats.get(uuid)?.fileBytes ?? 0))
    }
    return [...most.values()].reduce((sum, bytes) => sum + bytes, 0)
  }

  /** libvirt's counters, less than a second old, by UUID. @throws CroftError */
  async stats(): Promise<ReadonlyMap<string, VmStats>> {
    await this.#refresh()
    return this.#sample.stats
  }

  /** libvirt's counters as of its last query: when `vms` was called, or less than a second before. */
  get sample(): Sample {
    return this.#sample
  }

  /** Counters of the box, and of VMs as of `sample`; libvirt is not queried. */
  async counters(): Promise<Counters> {
    const { busy } = await readCpuTicks()
    const vms = vmsOf(this.#box.store.state).flatMap((vm) => {
      const stats = hasMemory(this.#box.live.get(vm.uuid)) ? this.#sample.stats.get(vm.uuid) : undefined
      return stats ? [[vm.id, stats] as const] : []
    })
    return { cpuBusySeconds: busy / ticksPerSecond, vms: new Map(vms) }
  }

  async #measureHost(): Promise<HostUsage> {
    const [memory, swap, disk, cpuPercent, diskKeptBytes] = await Promise.all([
      readMemory(),
      readSwap(),
      statfs(this.#folder),
      this.#hostCpu(),
      this.#diskKept(),
    ])
    const sharedBytes = this.sharedMemory()
    return {
      cpus: cpus().length,
      cpuPercent,
      memoryTotalBytes: memory.total,
      memoryUsedBytes: memory.total - memory.available + sharedBytes,
      memorySharedBytes: sharedBytes,
      swapTotalBytes: swap.total,
      swapUsedBytes: swap.used,
      diskTotalBytes: disk.blocks * disk.bsize,
      diskFreeBytes: disk.bavail * disk.bsize,
      diskKeptBytes,
    }
  }

  #running(): string[] {
    return Object.values(this.#box.store.state.vms).flatMap((vm) =>
      this.#box.live.get(vm.uuid)?.domain === 'running' ? vm.uuid : [],
    )
  }

  async #refresh(): Promise<void> {
    if (performance.now() - this.#sample.at < freshMs) return
    this.#sampling ??= this.#take().finally(() => {
      this.#sampling = undefined
    })
    await this.#sampling
  }

  async #take(): Promise<void> {
    const before = this.#sample
    const running = this.#running().length ? await this.#box.hypervisor.stats() : new Map<string, VmStats>()
    // Nothing changes in a VM that stands still, and asking its QEMU would cost CPU.
    const still = [...before.stats].filter(([uuid]) => this.#box.live.get(uuid)?.domain === 'paused')
    const stats = new Map([...still, ...running])
    const now: Sample = { at: performance.now(), stats }
    const percent = new Map<string, number>()
    for (const [uuid, { cpuTimeNs }] of stats) {
      const spent = cpuTimeNs - (before.stats.get(uuid)?.cpuTimeNs ?? cpuTimeNs)
      percent.set(uuid, Math.max(0, spent / ((now.at - before.at) * 1e4)))
    }
    this.#sample = now
    this.#percent = percent
  }

  /** Measures what a VM takes on disk. @returns null for a VM without files yet, and while it can't be measured */
  async #disk(vm: Vm): Promise<number | null> {
    const files = this.#filesOf(vm.id)
    if (!files) return null
    const { file } = layerOf(this.#box.store.state, vm.disk)
    return Promise.all([
      this.#writtenDisk(vm, file),
      this.#beneath(
        vm,
        files.filter((path) => path !== file),
      ),
    ]).then(
      ([top, beneath]) => top + beneath,
      () => null,
    )
  }

  #filesOf(id: string): string[] | undefined {
    const { state } = this.#box.store
    if (this.#files?.of !== state) this.#files = { of: state, byVm: filesOfVms(state, held(this.#box)) }
    return this.#files.byVm.get(id)
  }

  async #writtenDisk(vm: Vm, file: string): Promise<number> {
    const { uuid } = vm
    const known = this.#diskAtRest.get(uuid)
    if (known?.file === file) return known.bytes
    if (this.#rests(vm)) {
      const bytes = await this.#usageOf(file)
      if (this.#rests(vm)) this.#diskAtRest.set(uuid, { file, bytes })
      return bytes
    }
    const measure = this.#diskInUse.get(uuid) ?? memoizeFor(freshMs, () => this.#measureDisk(vm.id))
    this.#diskInUse.set(uuid, measure)
    return measure()
  }

  #beneath({ uuid }: Vm, paths: readonly string[]): Promise<number> {
    const files = paths.join('\n')
    const known = this.#diskBeneath.get(uuid)
    if (known?.files === files) return known.bytes
    const bytes = this.#sum(paths)
    this.#diskBeneath.set(uuid, { files, bytes })
    return bytes
  }

  /** Whether a VM's disk is not being written: a VM that is still being made does not count. */
  #rests({ uuid, phase }: Vm): boolean {
    const domain = this.#box.live.get(uuid)?.domain
    return phase === 'ready' && (domain === 'off' || domain === undefined)
  }

  async #measureDisk(id: string): Promise<number> {
    const { state } = this.#box.store
    const vm = state.vms[id]
    return vm ? this.#usageOf(layerOf(state, vm.disk).file) : 0
  }

  /** The size of a file. @throws Error when the file is gone: an existing disk is never empty */
  async #usageOf(file: string): Promise<number> {
    const bytes = await this.#box.files.usage(file)
    if (bytes === 0) throw new Error(`there is no ${file}`)
    return bytes
  }

  async #measureKept(): Promise<number> {
    const { layers, vms, memories, memoryBases } = this.#box.store.state
    const ofVms = new Set(Object.keys(vms).flatMap((id) => this.#filesOf(id) ?? []))
    return this.#sum(
      [layers, memories, memoryBases]
        .flatMap((records) => Object.values<{ file: string }>(records))
        .flatMap(({ file }) => (ofVms.has(file) ? [] : file)),
    )
  }

  async #sum(paths: readonly string[]): Promise<number> {
    const sizes = await Promise.all(paths.map((path) => this.#box.files.usage(path)))
    return sizes.reduce((sum, size) => sum + size, 0)
  }

  /** Percent of all CPUs since the last call. */
  async #hostCpu(): Promise<number> {
    const before = this.#ticks
    const now = await readCpuTicks()
    this.#ticks = now
    return now.all > before.all ? (100 * (now.busy - before.busy)) / (now.all - before.all) : 0
  }
}
