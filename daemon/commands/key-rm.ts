import { z } from 'zod'
import { findKey, removeKey } from '../box/keys.ts'
import { command } from './command.ts'
import { keyResult } from './key-ls.ts'

export const keyRmCommand = command({
  name: 'key rm',
  summary: 'Shut an SSH key out',
  examples: ['croft key rm laptop'],
  args: z.object({
    key: z.string().min(1).max(128).describe('Its name or fingerprint').meta({ placeholder: 'key', complete: 'key' }),
  }),
  positional: ['key'],
  result: keyResult,
  touches: 'destroys',
  async confirm(box, { key: name }) {
    const key = findKey(box.store.state, name)
    const last = Object.keys(box.store.state.keys).length === 1 ? ' It is the only key.' : ''
    return `${key.name} (${key.fingerprint}) can't enter any more.${last} Remove it?`
  },
  run: ({ box }, { key }) => removeKey(box, key),
  print: (key) => `${key.name} is shut out.\n`,
  names: (key) => [key.name],
})
