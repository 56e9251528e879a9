import { repeat } from '../../lib/async/interval.ts'
import {
  type Checkpoint,
  filterRecord,
  type Hardware,
  type Image,
  type Limits,
  type Memory,
  type State,
  type Vm,
} from '../../store/index.ts'
import type { Box, Report } from '../box.ts'
import { findOperationVm, layerOf, without } from '../box.ts'
import { collectGarbage } from '../layer/garbage.ts'
import { isPassing, makeBase } from '../memory-base/make.ts'
import { proveMemoryLayers } from '../memory-base/prove.ts'
import type { OperationDefinition, OperationOf } from '../operation/definition.ts'
import { execute } from '../operation/engine.ts'
import { describeMemory, trimGuest } from '../sleep/memory.ts'
import { bootVm } from '../vm/boot.ts'
import { makeId } from '../vm/identity.ts'
import { preparation } from '../vm/preparation.ts'
import { makeLayer, withoutVm, withRecord } from '../vm/record.ts'
import { surplusGoldens } from './golden-limits.ts'

/** Finds the golden checkpoint to fork for a new VM of this image with this hardware. Pure. */
export function findGolden(state: State, image: Image, hardware: Hardware): Checkpoint | undefined {
  return goldens(state).find(
    (checkpoint) => checkpoint.image === image.id && same(state.memories[checkpoint.memory!]?.hardware, hardware),
  )
}

function goldens(state: State): Checkpoint[] {
  return Object.values(state.checkpoints).filter((checkpoint) => checkpoint.kind === 'golden')
}

function same(a: Hardware | undefined, b: Hardware): boolean {
  return a !== undefined && (Object.keys(b) as (keyof Hardware)[]).every((key) => a[key] === b[key])
}

/** Makes a golden checkpoint for an image and limits if there is none, one at a time. @throws CroftError */
export async function ensureGolden(
  box: Box,
  image: Image,
  limits: Pick<Limits, 'cpus' | 'memoryMiB'>,
  report: Report = () => {},
): Promise<void> {
  await box.locks.run('golden', async () => {
    const hardware = await box.hypervisor.hardware(image, limits)
    if (!box.store.state.images[image.id]?.current || findGolden(box.store.state, image, hardware)) return
    const began = performance.now()
    const golden = await makeOne(box, image, hardware, report)
    box.log.info(
      { image: image.name, ...hardware, ms: Math.round(performance.now() - began) },
      'made a golden checkpoint',
    )
    await provideBase(box, golden).catch((err) =>
      box.log.warn({ checkpoint: golden.id, err }, 'could not make a memory base; tried again'),
    )
    box.events.publish({ type: 'image.golden', image: image.name })
    await dropOld(box)
    box.spares.refresh()
  })
}

/** How long to wait before a base is tried again that there was no room for. */
const noRoomMs = 10_000

/**
 * Makes memory bases for the golden checkpoints that have none: an older Croft made them, or there was no room. Until
 * then, and where that fails, forks have copies of the memory.
 * @returns stops it
 */
export function keepBases(box: Box): () => void {
  if (!box.settings.golden) return () => {}
  /** Checkpoints whose base is made or can't be, by id. */
  const settled = new Set<string>()
  return repeat(noRoomMs, 'make memory bases', box.log, async () => {
    let passing: unknown
    for (const golden of goldens(box.store.state)) {
      if (settled.has(golden.id)) continue
      try {
        await box.locks.run('golden', () => provideBase(box, golden))
      } catch (err) {
        if (isPassing(err)) {
          passing = err
          continue
        }
        box.log.warn({ checkpoint: golden.id, err }, 'could not make a memory base')
      }
      settled.add(golden.id)
    }
    if (passing) throw passing
  })
}

/**
 * Makes a memory base for a golden checkpoint, and tries whether that works here if it was not tried with this QEMU.
 * @throws as `makeBase` and `proveMemoryLayers`
 */
async function provideBase(box: Box, { id, memory: memoryId }: Checkpoint): Promise<void> {
  const memory = box.store.state.memories[memoryId ?? '']
  if (!box.settings.memoryLayers || !memory) return
  const { memoryLayers: found } = box.store.state
  const isTried = found?.qemu === memory.hardware.qemu
  if (isTried && !found.works) return
  if (memory.base === null) await makeBase(box, memory)
  const golden = box.store.state.checkpoints[id]
  if (golden && !isTried) await proveMemoryLayers(box, golden)
}

async function makeOne(box: Box, image: Image, hardware: Hardware, report: Report): Promise<Checkpoint> {
  const id = makeId('vm')
  const now = new Date().toISOString()
  const disk = makeLayer(image.layer, now)
  const limits = { cpus: hardware.cpus, memoryMiB: hardware.memoryMiB, diskGiB: image.diskGiB }
  const memory = describeMemory(hardware, null)
  const checkpoint: Checkpoint = {
    id: makeId('chk'),
    kind: 'golden',
    label: `${image.name} ${hardware.cpus} CPUs ${hardware.memoryMiB} MiB`,
    vm: null,
    image: image.id,
    layer: disk.id,
    memory: memory.id,
    parent: null,
    limits,
    createdAt: now,
    usedAt: now,
  }
  const operation = { id: makeId('op'), kind: 'golden', startedAt: now, vm: id, checkpoint, memory } as const
  await box.locks.run(id, () =>
    execute(
      box,
      goldenOperation,
      operation,
      (state) => {
        const vm = { id, name: image.name, image: image.id, limits, phase: 'golden', power: 'off' } as const
        return withRecord(box, state, vm, disk)
      },
      report,
    ),
  )
  return checkpoint
}

async function dropOld(box: Box): Promise<void> {
  const sizes = new Map<string, number>()
  for (const each of goldens(box.store.state)) sizes.set(each.id, await bytesOf(box, each))
  const freeBytes = await box.files.freeBytes()
  await box.store.update((state) => {
    const { cpus, memoryMiB } = box.settings.defaults
    const newestFirst = goldens(state).toReversed()
    // Among those with the same limits, all but the newest are for hardware that no longer exists.
    const outdated = newestFirst.filter(
      (each, i) => newestFirst.findIndex((one) => one.label === each.label && one.image === each.image) < i,
    )
    const beside = newestFirst.filter(
      (each) => !outdated.includes(each) && (each.limits.cpus !== cpus || each.limits.memoryMiB !== memoryMiB),
    )
    const surplus = surplusGoldens(beside, ({ id }) => sizes.get(id) ?? 0, freeBytes)
    const old = new Set([...outdated, ...surplus].map(({ id }) => id))
    return {
      ...state,
      checkpoints: filterRecord(state.checkpoints, ({ id: each }) => !old.has(each)),
    }
  })
  await collectGarbage(box)
}

/** The disk space that a golden checkpoint takes, in bytes. */
async function bytesOf(box: Box, { layer, memory }: Checkpoint): Promise<number> {
  const { layers, memories, memoryBases } = box.store.state
  const saved = memories[memory ?? '']
  const files = [layers[layer]?.file, saved?.file, memoryBases[saved?.base ?? '']?.file].filter(
    (file) => file !== undefined,
  )
  const sizes = await Promise.all(files.map((file) => box.files.usage(file)))
  return sizes.reduce((sum, size) => sum + size, 0)
}

/**
 * Makes a golden checkpoint: a VM of Croft's own boots like any other, settles, and is saved. Its disk becomes the
 * checkpoint's layer, and the VM is forgotten.
 */
export const goldenOperation: OperationDefinition<OperationOf<'golden'>> = {
  recovery: 'undo',
  steps: [
    ...preparation,
    {
      name: 'boot',
      run: (box, { vm }, report) => bootVm(box, findOperationVm(box, vm), report),
      undo: (box, { vm }) => box.hypervisor.powerOff(findOperationVm(box, vm).uuid),
    },
    {
      name: 'settle',
      run: (box, { vm }, report) => settle(box, findOperationVm(box, vm), report),
    },
    {
      name: 'save',
      async run(box, { vm: id, memory }, report) {
        const vm = findOperationVm(box, id)
        report({ subject: vm.name, step: 'saving its memory', fraction: 0.95 })
        await box.hypervisor.save(vm.uuid, memory)
        await box.files.freeze(layerOf(box.store.state, vm.disk).file)
      },
      undo: (box, { memory }) => box.files.remove(memory.file),
    },
    {
      // Every `new` loads this memory: empty parts are dropped once here, rather than at each load.
      name: 'shrink',
      async run(box, { memory }) {
        const shrunk = shrunkFile(memory)
        await box.hypervisor.rewrite(memory, undefined, shrunk, 'raw', new AbortController().signal)
        await box.files.freeze(shrunk)
        await box.files.sync(shrunk)
        await box.files.replace(shrunk, memory.file)
      },
      undo: (box, { memory }) => box.files.remove(shrunkFile(memory)),
    },
    {
      name: 'forget',
      async run(box, { vm: id }) {
        const vm = findOperationVm(box, id)
        await box.hypervisor.undefine(vm)
        await box.network.remove(vm)
        await box.guests.forget(vm)
      },
    },
  ],
  commit: (state, { vm, checkpoint, memory }) => ({
    ...state,
    vms: without(state.vms, vm),
    memories: { ...state.memories, [memory.id]: memory },
    checkpoints: { ...state.checkpoints, [checkpoint.id]: checkpoint },
  }),
  rollback: (state, { vm }) => withoutVm(state, vm),
}

const shrunkFile = (memory: Memory): string => `${memory.file}.shrunk`

/**
 * Waits until the guest has nothing left to do, and removes what forks should not have: its network, so that no fork
 * begins with its address; its log; cached files that the next minutes don't need.
 */
async function settle(box: Box, vm: Vm, report: Parameters<typeof bootVm>[2]): Promise<void> {
  report({ subject: vm.name, step: 'letting it settle', fraction: 0.9 })
  const { code, stderr } = await box.guests.script(vm.uuid, settleScript, 120_000)
  if (code !== 0) box.log.warn({ stderr }, 'the golden VM did not settle as it should')
  await trimGuest(box, vm, 30_000, new AbortController().signal)
}

const settleScript = `
systemctl is-system-running --wait > /dev/null
ip link set dev eth0 down
ip address flush dev eth0
rm -f /run/croft-address
journalctl --rotate --vacuum-size=1 > /dev/null 2>&1
sleep 3
`
