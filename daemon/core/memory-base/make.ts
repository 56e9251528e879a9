import { fault } from '../../lib/async/fault.ts'
import type { Memory, MemoryBase, State } from '../../store/index.ts'
import { type Box, without } from '../box.ts'
import { collectGarbage } from '../layer/garbage.ts'
import type { OperationDefinition, OperationOf } from '../operation/definition.ts'
import { execute } from '../operation/engine.ts'
import { withRewritten } from '../sleep/compress.ts'
import { makeId } from '../vm/identity.ts'

/** Where a test may kill the daemon after a base was made, before the old file of its memory is gone. */
export const baseFaultPoint = 'base.files'

/**
 * Makes a memory base of saved memory that no VM sleeps in: its pages move into the base, and what is left of it is a
 * difference. Guests that load it later map the base.
 * @returns false when there is not enough disk space
 * @throws CroftError `cancelled` when a VM is loading that memory now, `disk-full`
 */
export async function makeBase(box: Box, { id, file, hardware }: Memory): Promise<boolean> {
  if ((await box.files.freeBytes()) < 2 * (await box.files.usage(file))) return false
  const now = new Date().toISOString()
  const baseId = makeId('bas')
  const base: MemoryBase = {
    id: baseId,
    file: `bases/${baseId}.base`,
    memoryMiB: hardware.memoryMiB,
    createdAt: now,
  }
  const rest = file.replace(/\.save$/, '.rest.save')
  const operation = { id: makeId('op'), kind: 'base', startedAt: now, memory: id, base, file: rest } as const
  await box.locks.runPreemptible([id], async (signal) => {
    await execute(box, baseOperation, operation, (state) => state, undefined, signal)
    fault(baseFaultPoint)
    await box.files.remove(file)
    await collectGarbage(box)
  })
  return true
}

/**
 * `base`: writes a memory base and what is left of the memory into new files. The old file stays intact until the store
 * refers to the new ones. It is removed afterwards, or as an orphan at the next start.
 */
export const baseOperation: OperationDefinition<OperationOf<'base'>> = {
  recovery: 'undo',
  steps: [
    {
      name: 'data',
      async run(box, { memory, base, file }, _, signal) {
        await box.hypervisor.extractBase(box.store.state.memories[memory]!, base, file, signal)
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
    const rewritten = withRewritten(state, memory, [], { file, base: base.id })
    return { ...rewritten, memoryBases: { ...rewritten.memoryBases, [base.id]: base } }
  },
  rollback: (state, { base }) => ({ ...state, memoryBases: without(state.memoryBases, base.id) }),
}
