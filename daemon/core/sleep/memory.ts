import { Semaphore } from '../../lib/async/locks.ts'
import { CroftError } from '../../lib/error.ts'
import type { Hardware, Memory, Vm } from '../../store/index.ts'
import { type Box, specOf } from '../box.ts'
import { ownBaseOf } from '../memory-base/own.ts'
import { timed } from '../operation/definition.ts'
import { perBox } from '../per-box.ts'
import { awaitAgent, makeReady } from '../vm/boot.ts'
import { makeId } from '../vm/identity.ts'

/** Limits how many guests are loaded from memory at once: each is ready sooner than if all were loaded together. */
export const loads = perBox((box) => new Semaphore(Math.max(2, box.settings.most.cpus)))

/**
 * Makes the record for memory that is about to be saved.
 * @param base id of the memory base that the guest maps; null for none
 */
export function describeMemory(hardware: Hardware, base: string | null): Memory {
  const id = makeId('mem')
  return { id, file: `memory/${id}.save`, hardware, base, createdAt: new Date().toISOString() }
}

/**
 * Makes the record for the memory of a running VM.
 * @param forCopies copies will be loaded from it: over the base that was made for them, if there is one
 */
export async function describeMemoryOf(box: Box, vm: Vm, forCopies = false): Promise<Memory> {
  const hardware = await box.hypervisor.hardwareOf(vm.uuid, specOf(box.store.state, vm).image)
  const own = forCopies ? ownBaseOf(box.store.state, vm.id) : undefined
  const base = own?.memoryMiB === hardware.memoryMiB ? own.id : box.live.get(vm.uuid)?.base
  return describeMemory(hardware, base ?? null)
}

/**
 * Starts a VM's domain from saved memory; the memory may be another VM's. The domain must be defined and its network
 * set up. Its memory base is mapped if that works on this box; otherwise, its pages are copied.
 * @param map maps the base, whatever is known of this box, or fails
 * @throws CroftError `memory-unusable` and others; the domain has then not run
 */
export async function loadMemory(
  box: Box,
  vm: Vm,
  memory: Memory,
  how: 'running' | 'paused',
  map = false,
): Promise<void> {
  const spec = specOf(box.store.state, vm)
  const today = await box.hypervisor.hardware(spec.image, vm.limits)
  const reason = misfit(memory.hardware, today)
  if (reason) throw new CroftError('memory-unusable', `The memory of ${vm.name} was saved ${reason}.`)
  await checkMemory(box, vm, memory)
  const load = async (from: Memory, mapped: boolean) => {
    const base = from.base === null ? undefined : box.store.state.memoryBases[from.base]
    box.live.apply({ type: 'started', uuid: vm.uuid, reason: 'asked' })
    try {
      await timed(box, 'load', () => box.hypervisor.load(spec, from, base, mapped && base !== undefined, how))
      if (base && mapped) box.live.mark(vm.uuid, { base: base.id })
    } catch (error) {
      box.live.apply({ type: 'stopped', uuid: vm.uuid, how: 'powered-off', reason: 'did not load' })
      throw error
    }
  }
  if (map) return load(memory, true)
  const overBases = [preparedFor(box, memory) ?? [], memory].flat().filter(({ base }) => base !== null)
  for (const from of mapsBases(box) ? overBases : []) {
    try {
      return await load(from, true)
    } catch (err) {
      box.log.warn({ vm: vm.id, base: from.base, err }, 'a memory base could not be mapped')
    }
  }
  await load(memory, false)
}

/** The same memory over the base that was made for its copies, if there is one. */
function preparedFor(box: Box, memory: Memory): Memory | undefined {
  const base = ownBaseOf(box.store.state, memory.id)
  return base?.rest ? { ...memory, file: base.rest, base: base.id } : undefined
}

/** Whether guests of this box map memory bases: the owner has not turned that off, and it was seen to work. */
export const mapsBases = (box: Box): boolean =>
  box.settings.memoryLayers && box.store.state.memoryLayers?.works === true

/** Checks that a VM's saved memory exists. @throws CroftError `memory-unusable` when its file is gone */
export async function checkMemory(box: Box, vm: Vm, { file }: Memory): Promise<void> {
  if (await box.files.exists(file)) return
  throw new CroftError('memory-unusable', `The saved memory of ${vm.name} is gone: there is no ${file}.`, {
    hint: `croft wake ${vm.name} starts it from its disk.`,
  })
}

/**
 * Returns how many more bytes a running guest will take while its memory is saved: 0, except where the kernel allocates
 * a page for each one that QEMU reads.
 */
export async function savingBytes(box: Box, vm: Vm): Promise<number> {
  if (!box.settings.readsTakeMemory) return 0
  const [{ memoryMiB }, stats] = await Promise.all([
    box.hypervisor.hardwareOf(vm.uuid, specOf(box.store.state, vm).image),
    box.hypervisor.stats(),
  ])
  return Math.max(0, memoryMiB * 2 ** 20 - (stats.get(vm.uuid)?.residentBytes ?? 0))
}

/**
 * Loads a VM that has just been made, in its turn, and waits until it can be used. Its record names the memory.
 * @param map as for `loadMemory` @throws as `loadMemory`, and CroftError `guest-failed`
 */
export async function loadNew(box: Box, vm: Vm, map = false): Promise<void> {
  await loads(box).run(async () => {
    await loadMemory(box, vm, box.store.state.memories[vm.memory!]!, 'running', map)
    await waitUntilReady(box, vm)
  })
}

/** Waits until a guest that was loaded answers, and tells it who it is. @throws CroftError `guest-failed` */
export async function waitUntilReady(box: Box, vm: Vm): Promise<void> {
  await timed(box, 'agent', () => awaitAgent(box, vm, answerTimeoutMs))
  await timed(box, 'personalize', () => makeReady(box, vm, false))
}

/** Free memory that a guest keeps while it is squeezed, in MiB: it may need some. */
const marginMiB = 256

const trimScript = `fstrim / 2>/dev/null; sync; echo 3 > /proc/sys/vm/drop_caches; echo 1 > /proc/sys/vm/compact_memory
while read -r key count rest; do if [ "$key" = MemFree: ]; then echo "$count"; fi; done < /proc/meminfo`

/**
 * Trims a guest before it is saved: discards free disk blocks, drops the page cache and squeezes its memory with the
 * balloon, so that the saved memory is small.
 * @param squeezeMs for how long its memory is squeezed: scattered pages go first, and they are the ones that free page
 * reporting does not give back
 * @param signal aborted to stop immediately @throws CroftError `guest-failed`, `cancelled`
 */
export async function trimGuest(box: Box, vm: Vm, squeezeMs: number, signal: AbortSignal): Promise<void> {
  const { promise, reject } = Promise.withResolvers<never>()
  const onWanted = () => reject(new CroftError('cancelled', `${vm.name} is needed.`))
  if (signal.aborted) return
  signal.addEventListener('abort', onWanted, { once: true })
  try {
    const trimmed = box.guests.script(vm.uuid, trimScript, 30_000)
    trimmed.catch(() => {}) // no caller may be waiting for it any more
    const { stdout } = await Promise.race([trimmed, promise])
    const { memoryMiB } = await box.hypervisor.hardwareOf(vm.uuid, specOf(box.store.state, vm).image)
    const leftMiB = memoryMiB - Math.floor(Number(stdout) / 1024) + marginMiB
    if (!(leftMiB > 0 && leftMiB < memoryMiB)) return
    await box.hypervisor.pulse(vm.uuid, leftMiB, memoryMiB, squeezeMs, signal)
  } finally {
    signal.removeEventListener('abort', onWanted)
  }
}

/** The guest ran when it was saved: it answers immediately or not at all. */
const answerTimeoutMs = 30_000

/** Why memory saved on one hardware can't be loaded on another. QEMU does load what an older QEMU saved. Pure. */
function misfit(saved: Hardware, today: Hardware): string | undefined {
  if (saved.accelerator !== today.accelerator) return `under ${saved.accelerator.toUpperCase()}`
  if (saved.cpu !== today.cpu) return 'on another CPU'
  if (saved.devices !== today.devices) return 'by a version of Croft that gave VMs other devices'
  return undefined
}
