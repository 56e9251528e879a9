import { coalesce } from '../../lib/coalesce.ts'
import { CroftError } from '../../lib/error.ts'
import { fault } from '../../lib/fault.ts'
import type { Memory, State, Vm } from '../../store/index.ts'
import { type Box, stateOf } from '../box.ts'
import { collectGarbage, namesIn } from '../layer/garbage.ts'
import type { OperationDefinition, OperationOf } from '../operation/definition.ts'
import { execute } from '../operation/engine.ts'
import { makeId } from '../vm/identity.ts'

/** Memory that was saved a moment ago may be wanted again immediately. */
const restMs = 5_000
/** How long until memory that could not be compressed is tried again, and memory for which there was no room. */
const failedMs = 10 * 60_000
const noRoomMs = 60_000

const ending = '.zst.save'

/**
 * Compresses saved memory in the background: that of sleeping VMs and of their checkpoints, one at a time. A run is given
 * up as soon as someone wants one of its VMs. Golden checkpoints stay as they are, so that `new` is quick.
 * Looks whenever memory has been saved, a VM has fallen asleep, or something else with it has ended.
 * @param known resolves when it is known which VMs sleep @returns ends it, with what is under way
 */
export function keepCompressed(box: Box, known: Promise<void>): () => Promise<void> {
  let stopped = false
  let timer: NodeJS.Timeout | undefined
  let current: { id: string; under: Promise<unknown> } | undefined
  /** Memory that is not tried before a time, by id and `performance.now()`. */
  const notBefore = new Map<string, number>()

  /** @returns when to try again, by `performance.now()`; undefined when that need not be asked: it is done, or something tells */
  const attempt = async (memory: Memory): Promise<number | undefined> => {
    const due = Math.max(restedAt(box, memory), notBefore.get(memory.id) ?? 0)
    if (due > performance.now()) return due
    const running = compress(box, memory)
    if (!running) return undefined
    const under = running.then(
      (done) => (done ? undefined : noRoomMs),
      (err) => {
        if (err instanceof CroftError && err.code === 'cancelled') return undefined
        box.log.warn({ memory: memory.id, err }, 'memory could not be compressed; tried again later')
        return failedMs
      },
    )
    current = { id: memory.id, under }
    const pauseMs = await under
    current = undefined
    if (pauseMs === undefined) return undefined
    const at = performance.now() + pauseMs
    notBefore.set(memory.id, at)
    return at
  }

  const look = coalesce('compress saved memory', restMs, box.log, async () => {
    await known
    clearTimeout(timer)
    const times: number[] = []
    for (const memory of rawMemories(box.store.state)) {
      if (stopped) return
      times.push((await attempt(memory)) ?? Number.POSITIVE_INFINITY)
    }
    for (const id of notBefore.keys()) if (!(id in box.store.state.memories)) notBefore.delete(id)
    const next = Math.min(...times)
    if (!stopped && next < Number.POSITIVE_INFINITY) timer = setTimeout(look, next - performance.now() + 1).unref()
  })
  const unwatch = [
    box.store.watch((before) => {
      const { memories, vms, checkpoints } = box.store.state
      if (before.memories !== memories || before.vms !== vms || before.checkpoints !== checkpoints) look()
    }),
    box.live.watch(look),
    box.locks.watch(look),
  ]
  look()
  return async () => {
    stopped = true
    clearTimeout(timer)
    for (const stop of unwatch) stop()
    if (current) await box.locks.interrupt([current.id])
    await current?.under
  }
}

/** The saved memory that is to be compressed, and is not being made or used. Pure. */
export function rawMemories(state: State): Memory[] {
  const named = namesIn(state.operations)
  const checkpoints = Object.values(state.checkpoints).filter(({ kind }) => kind !== 'copy')
  const stays = new Set(checkpoints.filter(({ kind }) => kind === 'golden').map(({ memory }) => memory))
  const kept = new Set([...Object.values(state.vms), ...checkpoints].map(({ memory }) => memory))
  return Object.values(state.memories).filter(
    ({ id, file }) => kept.has(id) && !stays.has(id) && !named.has(id) && !file.endsWith(ending),
  )
}

/**
 * How long until memory has rested since it was saved, in ms; below 0 when it has. Pure.
 * Memory that is younger than now was saved before the clock was set back.
 */
export const restLeft = ({ createdAt }: Pick<Memory, 'createdAt'>, now: Date): number =>
  restMs - Math.abs(now.getTime() - Date.parse(createdAt))

/** When it and the VMs that sleep in it have rested, by `performance.now()`: saving it took its time too. */
function restedAt(box: Box, memory: Memory): number {
  const asleep = sleepersIn(box, memory).map(
    (vm) => (box.live.get(vm.uuid)?.since ?? Number.NEGATIVE_INFINITY) + restMs,
  )
  return Math.max(performance.now() + restLeft(memory, new Date()), ...asleep)
}

const sleepersIn = (box: Box, { id }: Memory): Vm[] =>
  Object.values(box.store.state.vms).filter((vm) => vm.memory === id)

/** @returns whether there was room for it; undefined when it can't be done now: it is gone, or one of its VMs is busy or awake */
function compress(box: Box, memory: Memory): Promise<boolean> | undefined {
  if (box.store.state.memories[memory.id]?.file !== memory.file) return undefined
  const sleepers = sleepersIn(box, memory)
  if (!sleepers.every((vm) => stateOf(box, vm) === 'asleep')) return undefined
  const vms = sleepers.map(({ id }) => id)
  return box.locks.runPreemptible([memory.id, ...vms], async (wanted) => {
    // Running VMs write to the same disk: it must not be full for a moment.
    if ((await box.files.freeBytes()) < 2 * (await box.files.usage(memory.file))) return false
    const began = performance.now()
    const operation = {
      id: makeId('op'),
      kind: 'compress',
      startedAt: new Date().toISOString(),
      memory: memory.id,
      file: memory.file.replace(/\.save$/, ending),
      vms,
    } as const
    await execute(box, compressOperation, operation, (state) => state, undefined, wanted)
    fault(compressFaultPoint)
    await box.files.remove(memory.file)
    // What was taken away meanwhile had to stay for as long as it was compressed.
    await collectGarbage(box)
    box.log.info({ memory: memory.id, ms: Math.round(performance.now() - began) }, 'compressed saved memory')
    return true
  })
}

/** Where a test may kill the daemon after memory was compressed, before its old file is gone. */
export const compressFaultPoint = 'compress.files'

type Compressing = OperationOf<'compress'>

/**
 * `compress`: replaces a file of saved memory by a compressed copy of the same content. The old file stays whole until the
 * store names the new one; it is removed afterwards, or as an orphan at the next start.
 */
export const compressOperation: OperationDefinition<Compressing> = {
  recovery: 'undo',
  steps: [
    {
      name: 'data',
      async run(box, { memory, file }, _, signal) {
        await box.hypervisor.rewrite(box.store.state.memories[memory]!, file, 'zstd', signal)
      },
      undo: (box, { file }) => box.files.remove(file),
    },
    {
      name: 'keep',
      async run(box, { file }) {
        await box.files.freeze(file)
        await box.files.sync(file)
      },
    },
  ],
  commit: compressed,
}

/** @throws CroftError `cancelled` when somebody is about to load the old file */
function compressed(state: State, { memory: id, file, vms }: Compressing): State {
  const memory = state.memories[id]
  if (!memory || Object.values(state.vms).some((vm) => vm.memory === id && !vms.includes(vm.id)))
    throw new CroftError('cancelled', 'The memory is needed as it is.')
  return { ...state, memories: { ...state.memories, [id]: { ...memory, file } } }
}
