import { fault } from '../../lib/async/fault.ts'
import { asCroftError, CroftError, diskFull } from '../../lib/error.ts'
import type { Memory, MemoryBase, State } from '../../store/index.ts'
import type { Box } from '../box.ts'
import { collectGarbage } from '../layer/garbage.ts'
import { keepBase } from '../layer/holds.ts'
import { withRoom } from '../layer/room.ts'
import type { OperationDefinition, OperationOf } from '../operation/definition.ts'
import { execute } from '../operation/engine.ts'
import { withRewritten } from '../sleep/compress.ts'
import { makeId } from '../vm/identity.ts'

/** Where a test may kill the daemon after a base was made, before the old file of its memory is gone. */
export const baseFaultPoint = 'base.files'

/**
 * Makes a memory base of a golden checkpoint's memory: its pages move into the base, and what is left of it is a
 * difference. Guests that load it later map the base.
 * @throws CroftError `cancelled` when that memory is in use now, `disk-full`; all is then as it was
 */
export async function makeBase(box: Box, memory: Memory): Promise<void> {
  await checkRoom(box, memory)
  const { id, file } = memory
  const base = describeBase(memory, null)
  const operation = operationFor(memory, base, file.replace(/\.save$/, '.rest.save'))
  const making = box.locks.runPreemptible([id], async (signal) => {
    await withRoom(box, 'a memory base', signal, (ends) =>
      execute(box, baseOperation, operation, (state) => state, undefined, ends),
    )
    fault(baseFaultPoint)
    await box.files.remove(file)
    await collectGarbage(box)
  })
  if (!making) throw new CroftError('cancelled', 'The memory is needed now.')
  await making
}

/**
 * Makes a memory base of saved memory that copies are made from often. The memory itself stays as it is.
 * @param of what the copies are made from, by its id: a VM that runs, or the memory
 * @param keptMs how long it is kept without being used
 * @throws CroftError `cancelled` when the memory is gone, `disk-full`; nothing is left then
 */
export async function makeOwnBase(box: Box, memory: Memory, of: string, keptMs: number): Promise<void> {
  await checkRoom(box, memory)
  const base = describeBase(memory, of)
  keepBase(box, base.id, keptMs)
  await box.locks.run(memory.id, async () => {
    const begin = (state: State) => {
      if (memory.id in state.memories) return state
      throw new CroftError('cancelled', 'The memory is gone.')
    }
    await withRoom(box, 'a memory base', new AbortController().signal, (ends) =>
      execute(box, baseOperation, operationFor(memory, base, base.rest!), begin, undefined, ends),
    )
  })
  await collectGarbage(box)
}

/** How much of the disk must be free before a memory base is made of this memory: VMs write to the same disk. */
export async function roomFor(box: Box, { file, base }: Memory): Promise<number> {
  const under = box.store.state.memoryBases[base ?? '']
  return 2 * ((await box.files.usage(file)) + (under ? await box.files.usage(under.file) : 0))
}

/** @throws CroftError `disk-full` */
async function checkRoom(box: Box, memory: Memory): Promise<void> {
  const [needed, free] = [await roomFor(box, memory), await box.files.freeBytes()]
  if (free <= needed) throw diskFull({ cause: new Error(`A memory base needs ${needed} bytes; ${free} are free.`) })
}

/** Whether what a memory base could not be made for passes: a full box, or memory that somebody needs now. */
export const isPassing = (error: unknown): boolean =>
  ['disk-full', 'no-room', 'cancelled'].includes(asCroftError(error).code)

function describeBase({ hardware: { memoryMiB } }: Memory, of: string | null): MemoryBase {
  const id = makeId('bas')
  const rest = of === null ? null : `memory/${id}.rest.save`
  return { id, file: `bases/${id}.base`, memoryMiB, of, rest, createdAt: new Date().toISOString() }
}

function operationFor(memory: Memory, base: MemoryBase, file: string): OperationOf<'base'> {
  return { id: makeId('op'), kind: 'base', startedAt: base.createdAt, memory: memory.id, base, file }
}

/**
 * `base`: writes a memory base and what is left of the memory into new files. The memory's own file stays intact until
 * the store refers to the new ones. A golden checkpoint's is removed afterwards, or as an orphan at the next start.
 */
export const baseOperation: OperationDefinition<OperationOf<'base'>> = {
  recovery: 'undo',
  steps: [
    {
      name: 'data',
      async run(box, { memory, base, file }, _, signal) {
        const { memories, memoryBases } = box.store.state
        const saved = memories[memory]!
        await box.hypervisor.extractBase(saved, memoryBases[saved.base ?? ''], base, file, signal)
      },
      async undo(box, { base, file }) {
        await box.files.remove(file)
        await box.files.remove(base.file)
      },
    },
    {
      name: 'keep',
      async run(box, { base, file }) {
        for (const each of [base.file, file]) {
          await box.files.freeze(each)
          await box.files.sync(each)
        }
        await box.hypervisor.checkBase(base)
      },
    },
  ],
  commit(state: State, { memory, base, file }) {
    const changed = base.of === null ? withRewritten(state, memory, [], { file, base: base.id }) : state
    return { ...changed, memoryBases: { ...changed.memoryBases, [base.id]: base } }
  },
}
