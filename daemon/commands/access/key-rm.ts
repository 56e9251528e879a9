import { z } from 'zod'
import { findKey, removeKey } from '../../core/access/keys.ts'
import { command } from '../kit/command.ts'
import { describeKey, keyArg, keyResult } from './key.ts'

export const keyRmCommand = command({
  name: 'key rm',
  summary: 'Remove an SSH key',
  examples: ['croft key rm laptop'],
  args: z.object({ key: keyArg }),
  positional: ['key'],
  result: keyResult,
  touches: 'destroys',
  async confirm(box, { key: name }) {
    const key = findKey(box.store.state, name)
    const last = Object.keys(box.store.state.keys).length === 1 ? ' It is the only key.' : ''
    const who = key.authority ? `Certificates signed by ${key.name}` : key.name
    return `${who} (${key.fingerprint}) will no longer be let in.${last} Remove it?`
  },
  run: async ({ box }, { key }) => describeKey(box.store.state, await removeKey(box, key)),
  print: (key) => `${key.name} is locked out.\n`,
  names: (key) => [key.name],
})
