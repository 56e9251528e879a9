import { fault } from '../../lib/async/fault.ts'
import { CroftError } from '../../lib/error.ts'
import type { Memory, MemoryBase, State } from '../../store/index.ts'
import type { Box } from '../box.ts'
import { collectGarbage } from '../layer/garbage.ts'
import { keepBase } from '../layer/holds.ts'
import type { OperationDefinition, OperationOf } from '../operation/definition.ts'
import { execute } from '../operation/engine.ts'
import { withRewritten } from '../sleep/compress.ts'
import { makeId } from '../vm/identity.ts'

/** Where a test may kill the daemon after a base was made, before the old file of its memory is gone. */
export const baseFaultPoint = 'base.files'

/**
 * Makes a memory base of a golden checkpoint's memory: its pages move into the base, and what is left of it is a
 * difference. Guests that load it later map the base.
 * @returns false when there is not enough disk space, or the memory is in use now
 * @throws CroftError `cancelled` when a VM is loading that memory, `disk-full`
 */
export async function makeBase(box: Box, memory: Memory): Promise<boolean> {
  if (!(await hasRoom(box, memory))) return false
  const { id, file } = memory
  const base = describeBase(memory, null)
  const operation = operationFor(memory, base, file.replace(/\.save$/, '.rest.save'))
  const making = box.locks.runPreemptible([id], async (signal) => {
    await execute(box, baseOperation, operation, (state) => state, undefined, signal)
    fault(baseFaultPoint)
    await box.files.remove(file)
    await collectGarbage(box)
    return true
  })
  return (await making) ?? false
}

/**
 * Makes a memory base of saved memory that copies are made from often. The memory itself stays as it is.
 * @param of what the copies are made from, by its id: a VM that runs, or the memory
 * @param keptMs how long it is kept without being used
 * @throws CroftError `cancelled` when the memory is gone, `disk-full`
 */
export async function makeOwnBase(box: Box, memory: Memory, of: string, keptMs: number): Promise<void> {
  if (!(await hasRoom(box, memory))) return
  const base = describeBase(memory, of)
  keepBase(box, base.id, keptMs)
  await box.locks.run(memory.id, async () => {
    const begin = (state: State) => {
      if (memory.id in state.memories) return state
      throw new CroftError('cancelled', 'The memory is gone.')
    }
    await execute(box, baseOperation, operationFor(memory, base, base.rest!), begin)
  })
  await collectGarbage(box)
}

/** Running VMs write to the same disk, which must not fill up even for a moment. */
async function hasRoom(box: Box, { file, base }: Memory): Promise<boolean> {
  const under = box.store.state.memoryBases[base ?? '']
  const bytes = (await box.files.usage(file)) + (under ? await box.files.usage(under.file) : 0)
  return (await box.files.freeBytes()) > 2 * bytes
}

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
