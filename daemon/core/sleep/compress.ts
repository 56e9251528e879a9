import { coalesce } from '../../lib/async/coalesce.ts'
import { fault } from '../../lib/async/fault.ts'
import { CroftError } from '../../lib/error.ts'
import type { Memory, State, Vm } from '../../store/index.ts'
import { type Box, stateOf } from '../box.ts'
import { collectGarbage, namesIn } from '../layer/garbage.ts'
import type { OperationDefinition, OperationOf } from '../operation/definition.ts'
import { execute } from '../operation/engine.ts'
import { makeId } from '../vm/identity.ts'

/** Memory rests for so long after it has been saved: a VM may be woken again immediately. */
const restMs = 5_000
/** How long to wait before trying again, after a failure and when there was not enough disk space. */
const failedMs = 10 * 60_000
const noRoomMs = 60_000

const ending = '.zst.save'

/**
 * Compresses saved memory in the background, one file at a time: the memory of sleeping VMs and of checkpoints. What
 * their memory bases have is left out. A run is aborted as soon as anyone needs one of the VMs involved. Golden checkpoints stay uncompressed, so that `new` is
 * fast. Looks for work whenever memory has been saved, a VM has fallen asleep, or an operation on a VM has ended.
 * @param known resolves when it is known which VMs sleep @returns stops compressing, and aborts a run in progress
 */
export function keepCompressed(box: Box, known: Promise<void>): () => Promise<void> {
  let stopped = false
  let timer: NodeJS.Timeout | undefined
  let current: { id: string; under: Promise<unknown> } | undefined
  /** The earliest time to try, in `performance.now()`, by the memory's id. */
  const notBefore = new Map<string, number>()

  /**
   * Tries to compress one memory.
   * @returns when to try again, in `performance.now()`; undefined when no timer is needed, because the memory is
   * compressed or a watcher will tell
   */
  const attempt = async (memory: Memory): Promise<number | undefined> => {
    // No operation has it any more only now: that is when its saving is over, which may have taken its time.
    const due = notBefore.get(memory.id) ?? performance.now() + restMs
    notBefore.set(memory.id, due)
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

/** Returns the saved memory that should be compressed and that no operation is making or using. Pure. */
export function rawMemories(state: State): Memory[] {
  const raw = Object.values(state.memories).filter(({ file }) => !file.endsWith(ending))
  // It is asked after every change of a VM: mostly there is nothing to do.
  if (raw.length === 0) return []
  const named = namesIn(state.operations)
  const checkpoints = Object.values(state.checkpoints).filter(({ kind }) => kind !== 'copy')
  const stays = new Set(checkpoints.filter(({ kind }) => kind === 'golden').map(({ memory }) => memory))
  const kept = new Set([...Object.values(state.vms), ...checkpoints].map(({ memory }) => memory))
  return raw.filter(({ id }) => kept.has(id) && !stays.has(id) && !named.has(id))
}

const sleepersIn = (box: Box, { id }: Memory): Vm[] =>
  Object.values(box.store.state.vms).filter((vm) => vm.memory === id)

/**
 * Compresses one memory.
 * @returns whether there was enough disk space; undefined when the memory can't be compressed now, because it is gone
 * or one of its VMs is busy or awake
 */
function compress(box: Box, memory: Memory): Promise<boolean> | undefined {
  if (box.store.state.memories[memory.id]?.file !== memory.file) return undefined
  const sleepers = sleepersIn(box, memory)
  if (!sleepers.every((vm) => stateOf(box, vm) === 'asleep')) return undefined
  const vms = sleepers.map(({ id }) => id)
  return box.locks.runPreemptible([memory.id, ...vms], async (signal) => {
    // Running VMs write to the same disk, which must not fill up even for a moment.
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
    await execute(box, compressOperation, operation, (state) => state, undefined, signal)
    fault(compressFaultPoint)
    await box.files.remove(memory.file)
    // A checkpoint or VM may have been deleted meanwhile, and its memory had to stay during the compression.
    await collectGarbage(box)
    box.log.info({ memory: memory.id, ms: Math.round(performance.now() - began) }, 'compressed saved memory')
    return true
  })
}

/** Where a test may kill the daemon after memory was compressed, before its old file is gone. */
export const compressFaultPoint = 'compress.files'

type Compressing = OperationOf<'compress'>

/**
 * `compress`: replaces a file of saved memory with a compressed copy of the same content. The old file stays intact
 * until the store refers to the new one. It is removed afterwards, or as an orphan at the next start.
 */
export const compressOperation: OperationDefinition<Compressing> = {
  recovery: 'undo',
  steps: [
    {
      name: 'data',
      async run(box, { memory, file }, _, signal) {
        const { memories, memoryBases } = box.store.state
        const saved = memories[memory]!
        await box.hypervisor.rewrite(saved, memoryBases[saved.base ?? ''], file, 'zstd', signal)
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

/** @throws CroftError `cancelled` when a VM is about to load the old file */
function compressed(state: State, { memory, file, vms }: Compressing): State {
  return withRewritten(state, memory, vms, { file })
}

/**
 * Refers to another file with the same memory. Pure.
 * @param sleepers ids of the VMs that sleep in it, and whose locks are held
 * @throws CroftError `cancelled` when the memory is gone, or another VM is about to load the old file
 */
export function withRewritten(
  state: State,
  id: string,
  sleepers: readonly string[],
  change: { file: string; base?: string },
): State {
  const memory = state.memories[id]
  if (!memory || Object.values(state.vms).some((vm) => vm.memory === id && !sleepers.includes(vm.id)))
    throw new CroftError('cancelled', 'The memory is needed now.')
  return { ...state, memories: { ...state.memories, [id]: { ...memory, ...change } } }
}
