import { statfs } from 'node:fs/promises'
import { readCpuTicks, readMemory, readPressure } from '../adapters/kernel/load.ts'
import { type Box, vmsOf } from '../core/box.ts'
import type { VmStats } from '../core/interfaces/hypervisor.ts'
import { hasMemory } from '../core/live.ts'
import { repeat } from '../lib/async/interval.ts'
import type { Histories, VmSample } from './history.ts'
import type { Meter } from './meter.ts'

const sampleMs = 10_000
const writeMs = 60_000
/** Samples are taken in the middle of a 10 s slot: at its edge, two might fall into one slot and none into the next. */
const midSlot = sampleMs / 2

/** Measures the box and the running VMs every 10 s, and keeps the results. @returns stops it, after a last write */
export function keepHistories(box: Box, meter: Meter, histories: Histories, folder: string): () => Promise<void> {
  const write = () => histories.write(new Date(), new Set(vmsOf(box.store.state).map(({ id }) => id)))
  const sampleVms = vmSampler(box, meter, histories)
  const sampleBox = boxSampler(meter, histories, folder)
  const ends = [
    repeat(sampleMs, 'measure the VMs', box.log, sampleVms, midSlot),
    repeat(sampleMs, 'measure the box', box.log, sampleBox, midSlot),
    repeat(writeMs, 'write the history', box.log, write),
  ]
  return async () => {
    for (const end of ends) end()
    await write().catch((err) => box.log.error({ err }, 'could not write the history'))
  }
}

function vmSampler(box: Box, meter: Meter, histories: Histories): () => Promise<void> {
  let before: { at: number; stats: ReadonlyMap<string, VmStats> } = { at: 0, stats: new Map() }
  return async () => {
    if (box.hypervisor.trouble()) return
    const at = new Date()
    const [usage, now] = [await meter.vms(), meter.sample]
    if (now.at === before.at) return // libvirt has just become unavailable
    for (const vm of vmsOf(box.store.state)) {
      const stats = now.stats.get(vm.uuid)
      if (!stats || !hasMemory(box.live.get(vm.uuid))) continue
      const rates = ratesOf(stats, before.stats.get(vm.uuid), (now.at - before.at) / 1000)
      const diskBytes = usage.get(vm.id)?.diskBytes ?? null
      await histories.addVm(vm.id, at, { ...rates, memoryBytes: stats.ownBytes, diskBytes })
    }
    before = now
  }
}

/**
 * Computes a VM's rates between two measurements; nulls for the first one, across two runs, and when the clock was set
 * back. Pure.
 */
export function ratesOf(
  now: VmStats,
  before: VmStats | undefined,
  seconds: number,
): Omit<VmSample, 'memoryBytes' | 'diskBytes'> {
  const per = (of: (stats: VmStats) => number, scale = 1) => {
    const more = before ? of(now) - of(before) : -1
    return more >= 0 && seconds > 0 ? (more * scale) / seconds : null
  }
  return {
    cpuPercent: per((each) => each.cpuTimeNs, 1e-7),
    receivedBytesPerSecond: per((each) => each.receivedBytes),
    sentBytesPerSecond: per((each) => each.sentBytes),
    diskReadBytesPerSecond: per((each) => each.diskReadBytes),
    diskWrittenBytesPerSecond: per((each) => each.diskWrittenBytes),
  }
}

function boxSampler(meter: Meter, histories: Histories, folder: string): () => Promise<void> {
  let before: { busy: number; all: number } | undefined
  return async () => {
    const [cpu, memory, disk, pressure] = await Promise.all([
      readCpuTicks(),
      readMemory(),
      statfs(folder),
      readPressure(),
    ])
    await histories.addBox(new Date(), {
      cpuPercent: before && cpu.all > before.all ? (100 * (cpu.busy - before.busy)) / (cpu.all - before.all) : null,
      memoryUsedBytes: memory.total - memory.available + meter.sharedMemory(),
      diskUsedBytes: (disk.blocks - disk.bavail) * disk.bsize,
      cpuPressure: pressure.cpu,
      memoryPressure: pressure.memory,
      ioPressure: pressure.io,
    })
    before = cpu
  }
}
