import { CroftError } from '../error.ts'
import type { Hardware, Memory, Vm } from '../store/index.ts'
import { awaitAgent, makeReady } from './boot.ts'
import { type Box, specOf } from './box.ts'
import { makeId } from './identity.ts'

/** The record of memory about to be saved. */
export function describeMemory(hardware: Hardware): Memory {
  const id = makeId('mem')
  return { id, file: `memory/${id}.save`, hardware, createdAt: new Date().toISOString() }
}

/**
 * Starts a VM's domain from saved memory, as this VM, whosever memory it was.
 * @throws CroftError `memory-unusable` and others; it has then not run
 */
export async function loadMemory(box: Box, vm: Vm, memory: Memory, how: 'running' | 'paused'): Promise<void> {
  const spec = specOf(box.store.state, vm)
  const today = await box.hypervisor.hardware(spec.image, vm.limits)
  const reason = misfit(memory.hardware, today)
  if (reason) throw new CroftError('memory-unusable', `The memory of ${vm.name} was saved ${reason}.`)
  await Promise.all([box.network.add(vm), box.hypervisor.define(spec)])
  box.live.apply({ type: 'started', uuid: vm.uuid, reason: 'asked' })
  try {
    await box.hypervisor.load(spec, memory, how)
  } catch (error) {
    box.live.apply({ type: 'stopped', uuid: vm.uuid, how: 'powered-off', reason: 'did not load' })
    throw error
  }
}

/** Waits until a guest whose memory was loaded answers, and tells it who it is. @throws CroftError `guest-failed` */
export async function settleIn(box: Box, vm: Vm): Promise<void> {
  await awaitAgent(box, vm, answerTimeoutMs)
  await makeReady(box, vm, false)
}

/** It ran when it was saved: it answers at once or not at all. */
const answerTimeoutMs = 30_000

/** Why memory saved from one hardware can't be loaded into the other. QEMU itself loads what an older one saved. Pure. */
function misfit(saved: Hardware, today: Hardware): string | undefined {
  if (saved.accelerator !== today.accelerator) return `under ${saved.accelerator.toUpperCase()}`
  if (saved.cpu !== today.cpu) return 'on another CPU'
  if (saved.devices !== today.devices) return 'by a Croft that gave VMs other devices'
  return undefined
}

/** Errors that say nothing about the memory that was to be loaded. */
export function isBoxTrouble(error: unknown): boolean {
  if (!(error instanceof CroftError)) return false
  return (
    ['unavailable', 'disk-full', 'timed-out', 'cancelled'].includes(error.code) ||
    /allocate memory/i.test(error.message)
  )
}
