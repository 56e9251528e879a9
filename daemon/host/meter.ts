import { statfs } from 'node:fs/promises'
import { cpus } from 'node:os'
import { type Box, layerOf, vmsOf } from '../box/box.ts'
import type { Counters, HostUsage, VmUsage } from '../box/host.ts'
import type { VmStats } from '../box/ports.ts'
import { readCpuTicks, readMemory } from './load.ts'

const freshMs = 1000
const tickMs = 10_000
/** Of the kernel's CPU times: USER_HZ, which is the same on every Linux of today. */
const ticksPerSecond = 100

interface Sample {
  at: number
  /** By domain UUID. */
  stats: ReadonlyMap<string, VmStats>
}

/** Measures the box and its VMs: when asked, and every 10 s while VMs run, so that percentages are recent ones. */
export class Meter {
  readonly #box: Box
  readonly #folder: string
  #sample: Sample = { at: 0, stats: new Map() }
  #percent = new Map<string, number>()
  #sampling: Promise<void> | undefined
  /** Of VMs that do not run, so that their disks do not change. */
  readonly #diskAtRest = new Map<string, number>()
  #kept = { at: 0, bytes: Promise.resolve(0) }
  #host = { at: 0, busy: 0, all: 0, percent: 0 }
  readonly #timer: NodeJS.Timeout
  readonly #unwatch: () => void

  constructor(box: Box, folder: string) {
    this.#box = box
    this.#folder = folder
    this.#timer = setInterval(() => {
      if (this.#running().length) this.#refresh().catch(() => {})
    }, tickMs).unref()
    this.#unwatch = box.live.watch((uuid) => this.#diskAtRest.delete(uuid))
  }

  close(): void {
    clearInterval(this.#timer)
    this.#unwatch()
  }

  /** What each VM takes now, by VM id; from libvirt at most a second ago. Without libvirt: what was last known of the disks. */
  async vms(): Promise<Map<string, VmUsage>> {
    await this.#refresh().catch(() => {})
    const vms = Object.values(this.#box.store.state.vms)
    const rows = await Promise.all(
      vms.map(async (vm): Promise<[string, VmUsage]> => {
        const diskBytes = await this.#disk(vm.uuid, () =>
          this.#box.files.usage(layerOf(this.#box.store.state, vm.disk).file),
        )
        if (this.#box.live.get(vm.uuid)?.domain !== 'running')
          return [vm.id, { cpuPercent: null, memoryBytes: null, diskBytes }]
        const cpuPercent = this.#percent.get(vm.uuid) ?? null
        return [vm.id, { cpuPercent, memoryBytes: this.#sample.stats.get(vm.uuid)?.residentBytes ?? null, diskBytes }]
      }),
    )
    return new Map(rows)
  }

  /** What libvirt counts now, or counted less than a second before. By UUID. @throws CroftError */
  async stats(): Promise<ReadonlyMap<string, VmStats>> {
    await this.#refresh()
    return this.#sample.stats
  }

  /** What libvirt counted when it was last asked: when `vms` was called, or less than a second before. */
  get sample(): Sample {
    return this.#sample
  }

  /** Of the VMs what `sample` has: libvirt is not asked. */
  async counters(): Promise<Counters> {
    const { busy } = await readCpuTicks()
    const vms = vmsOf(this.#box.store.state).flatMap((vm) => {
      const stats = this.#box.live.get(vm.uuid)?.domain === 'running' ? this.#sample.stats.get(vm.uuid) : undefined
      return stats ? [[vm.id, stats] as const] : []
    })
    return { cpuBusySeconds: busy / ticksPerSecond, vms: new Map(vms) }
  }

  async host(): Promise<HostUsage> {
    const [memory, disk, cpuPercent, diskKeptBytes] = await Promise.all([
      readMemory(),
      statfs(this.#folder),
      this.#hostCpu(),
      this.#diskKept(),
    ])
    return {
      cpus: cpus().length,
      cpuPercent,
      memoryBytes: memory.total,
      memoryUsedBytes: memory.total - memory.available,
      diskBytes: disk.blocks * disk.bsize,
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
    const age = Date.now() - this.#sample.at
    if (age >= 0 && age < freshMs) return
    this.#sampling ??= this.#take().finally(() => {
      this.#sampling = undefined
    })
    await this.#sampling
  }

  async #take(): Promise<void> {
    const before = this.#sample
    const stats: Sample['stats'] = this.#running().length ? await this.#box.hypervisor.stats() : new Map()
    const now: Sample = { at: Date.now(), stats }
    const percent = new Map<string, number>()
    for (const [uuid, { cpuTimeNs }] of stats) {
      const spent = cpuTimeNs - (before.stats.get(uuid)?.cpuTimeNs ?? cpuTimeNs)
      percent.set(uuid, Math.max(0, spent / ((now.at - before.at) * 1e4)))
    }
    this.#sample = now
    this.#percent = percent
  }

  async #disk(uuid: string, measure: () => Promise<number>): Promise<number | null> {
    const known = this.#diskAtRest.get(uuid)
    if (known !== undefined) return known
    const size = await measure().catch(() => null)
    const domain = this.#box.live.get(uuid)?.domain
    if (size !== null && (domain === 'off' || domain === undefined)) this.#diskAtRest.set(uuid, size)
    return size
  }

  /** Files that nobody writes any more; measured at most every 10 s. */
  #diskKept(): Promise<number> {
    if (Date.now() - this.#kept.at > tickMs) {
      const { layers, vms, memories } = this.#box.store.state
      const disks = new Set(Object.values(vms).map((vm) => vm.disk))
      const files = [...Object.values(layers).filter(({ id }) => !disks.has(id)), ...Object.values(memories)]
      const sizes = Promise.all(files.map(({ file }) => this.#box.files.usage(file).catch(() => 0)))
      this.#kept = { at: Date.now(), bytes: sizes.then((all) => all.reduce((sum, size) => sum + size, 0)) }
    }
    return this.#kept.bytes
  }

  /** Percent of all CPUs, between the last two times that somebody asked, at least a second apart. */
  async #hostCpu(): Promise<number> {
    if (Date.now() - this.#host.at < freshMs) return this.#host.percent
    const { busy, all } = await readCpuTicks()
    const percent = all > this.#host.all ? (100 * (busy - this.#host.busy)) / (all - this.#host.all) : 0
    this.#host = { at: Date.now(), busy, all, percent }
    return percent
  }
}
