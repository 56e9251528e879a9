import { z } from 'zod'
import { renameKey } from '../../core/access/keys.ts'
import { command } from '../kit/command.ts'
import { describeKey, keyArg, keyNameArg, keyResult } from './key.ts'

export const keyRenameCommand = command({
  name: 'key rename',
  summary: 'Rename an SSH key',
  examples: ['croft key rename ada@old-laptop laptop'],
  args: z.object({ key: keyArg, name: keyNameArg.describe('Its new name') }),
  positional: ['key', 'name'],
  result: keyResult,
  touches: 'changes',
  run: async ({ box }, { key, name }) => describeKey(box.store.state, await renameKey(box, key, name)),
  print: ({ name, fingerprint }) => `It is now called ${name} (${fingerprint}).\n`,
  names: (key) => [key.name],
})
