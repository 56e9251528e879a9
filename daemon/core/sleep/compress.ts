import { CroftError } from '../../lib/error.ts'
import { fault } from '../../lib/fault.ts'
import { repeat } from '../../lib/interval.ts'
import type { Memory, State, Vm } from '../../store/index.ts'
import { type Box, stateOf } from '../box.ts'
import { collectGarbage, namesIn } from '../layer/garbage.ts'
import type { OperationDefinition, OperationOf } from '../operation/definition.ts'
import { execute } from '../operation/engine.ts'
import { makeId } from '../vm/identity.ts'

const lookMs = 2_000
/** What was saved a moment ago may be wanted again at once. */
const restMs = 5_000
/** Memory that could not be compressed is not tried again for so long. */
const failedMs = 10 * 60_000

const ending = '.zst.save'

/**
 * Compresses saved memory, in the background: that of sleeping VMs and of their checkpoints, one at a time, each given
 * up at once when somebody wants one of its VMs. Golden checkpoints stay as they are, for `new` to be quick.
 * @param known resolves when it is known which VMs sleep @returns ends it, with what is under way
 */
export function keepCompressed(box: Box, known: Promise<void>): () => Promise<void> {
  let stopped = false
  let current: { id: string; under: Promise<void> } | undefined
  /** When memory could not be compressed, by id. */
  const failed = new Map<string, number>()
  const stop = repeat(lookMs, 'compress saved memory', box.log, async () => {
    await known
    for (const [id, at] of failed) if (performance.now() - at >= failedMs) failed.delete(id)
    for (const memory of rawMemories(box.store.state)) {
      if (stopped) return
      if (failed.has(memory.id)) continue
      const under = compressAside(box, memory)?.catch((err) => {
        if (err instanceof CroftError && err.code === 'cancelled') return
        box.log.warn({ memory: memory.id, err }, 'memory could not be compressed; tried again later')
        failed.set(memory.id, performance.now())
      })
      if (!under) continue
      current = { id: memory.id, under }
      await under
      current = undefined
    }
  })
  return async () => {
    stopped = true
    stop()
    if (current) await box.locks.interrupt([current.id])
    await current?.under
  }
}

/** The saved memory that is to be compressed, and is not being made or used. Pure. */
export function rawMemories(state: State, now = new Date()): Memory[] {
  const named = namesIn(state.operations)
  const checkpoints = Object.values(state.checkpoints).filter(({ kind }) => kind !== 'copy')
  const stays = new Set(checkpoints.filter(({ kind }) => kind === 'golden').map(({ memory }) => memory))
  const kept = new Set([...Object.values(state.vms), ...checkpoints].map(({ memory }) => memory))
  return Object.values(state.memories).filter(
    ({ id, file, createdAt }) =>
      kept.has(id) &&
      !stays.has(id) &&
      !named.has(id) &&
      !file.endsWith(ending) &&
      // What is younger than now was saved before the clock was set back.
      Math.abs(now.getTime() - Date.parse(createdAt)) >= restMs,
  )
}

/** Saving it took its time. */
function hasRested(box: Box, vm: Vm): boolean {
  const since = box.live.get(vm.uuid)?.since ?? Number.NEGATIVE_INFINITY
  return stateOf(box, vm) === 'asleep' && performance.now() - since >= restMs
}

/** @returns undefined when it can't be done now: it is gone, or something is done with one of its VMs */
function compressAside(box: Box, memory: Memory): Promise<void> | undefined {
  if (box.store.state.memories[memory.id]?.file !== memory.file) return undefined
  const sleepers = Object.values(box.store.state.vms).filter((vm) => vm.memory === memory.id)
  if (!sleepers.every((vm) => hasRested(box, vm))) return undefined
  const vms = sleepers.map(({ id }) => id)
  return box.locks.runPreemptible([memory.id, ...vms], async (wanted) => {
    // Running VMs write to the same disk: it must not be full for a moment.
    if ((await box.files.freeBytes()) < 2 * (await box.files.usage(memory.file))) return
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
  })
}

/** Where a test may kill the daemon after memory was compressed, before its old file is gone. */
export const compressFaultPoint = 'compress.files'

type Compressing = OperationOf<'compress'>

/**
 * `compress`: saved memory gets another file, which holds the same in less room. Until the store names that one, the old
 * one is there and whole; it is removed by who began it, or by the sweep.
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
