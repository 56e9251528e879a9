import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { rewrite } from '../../daemon/adapters/libvirt/memory/load.ts'
import type { State } from '../../daemon/store/index.ts'
import type { Croft } from './croft.ts'

/**
 * Makes the state of a daemon that does not run as an older Croft left it: the golden checkpoint has all of its memory
 * in one file, there is no memory base, and nothing is known of whether one can be mapped. There must be no VMs.
 */
export async function withoutBases(croft: Croft): Promise<void> {
  const state: State = await croft.state()
  const golden = Object.values(state.checkpoints).find(({ kind }) => kind === 'golden')!
  const memory = state.memories[golden.memory!]!
  const base = join(croft.folder, state.memoryBases[memory.base!]!.file)
  const file = `memory/${memory.id}.save`
  const storage = { format: 'raw', hasZeroPages: false, base: null } as const
  const never = new AbortController().signal
  await rewrite(join(croft.folder, memory.file), join(croft.folder, file), [['merge', base]], storage, never)
  const memories = { [memory.id]: { ...memory, file, base: null } }
  await writeFile(
    join(croft.folder, 'state.json'),
    JSON.stringify({ ...state, memories, memoryBases: {}, memoryLayers: null }),
  )
}
