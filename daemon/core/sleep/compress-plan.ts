import { CroftError } from '../../lib/error.ts'
import type { State } from '../../store/index.ts'
import type { OperationOf, Plan } from '../operation/plan.ts'

/** Where a test may kill the daemon after memory was compressed, before its old file is gone. */
export const compressFaultPoint = 'compress.files'

type Compressing = OperationOf<'compress'>

/**
 * `compress`: saved memory gets another file, which holds the same in less room. Until the store names that one, the old
 * one is there and whole; it is removed by who began it, or by the sweep.
 */
export const compressPlan: Plan<Compressing> = {
  recovery: 'undo',
  steps: [
    {
      name: 'data',
      async run(box, { id, memory, file }) {
        const wanted = box.wanted.get(id) ?? AbortSignal.abort()
        await box.hypervisor.rewrite(box.store.state.memories[memory]!, file, 'zstd', wanted)
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
  end: compressed,
}

/** @throws CroftError `cancelled` when somebody is about to load the old file */
function compressed(state: State, { memory: id, file, vms }: Compressing): State {
  const memory = state.memories[id]
  if (!memory || Object.values(state.vms).some((vm) => vm.memory === id && !vms.includes(vm.id)))
    throw new CroftError('cancelled', 'The memory is needed as it is.')
  return { ...state, memories: { ...state.memories, [id]: { ...memory, file } } }
}
