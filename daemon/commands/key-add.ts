import { z } from 'zod'
import { addKey } from '../box/keys.ts'
import { command } from './command.ts'
import { keyResult } from './key-ls.ts'

export const keyAddCommand = command({
  name: 'key add',
  summary: 'Let an SSH key into the VMs',
  examples: ['croft key add ~/.ssh/id_ed25519.pub', 'croft key add - --name laptop < key.pub'],
  args: z.object({
    key: z
      .string()
      .min(1)
      .max(64 * 1024)
      .describe('File with the public key, "-" for standard input')
      .meta({ file: true, placeholder: 'file' }),
    name: z
      .string()
      .regex(/^[A-Za-z0-9][A-Za-z0-9@._-]{0,63}$/, 'a name takes letters, digits, "@", ".", "_" and "-"')
      .optional()
      .describe('What to call it; by default the comment in the key')
      .meta({ placeholder: 'name' }),
  }),
  positional: ['key'],
  result: z.object({ keys: z.array(keyResult) }),
  touches: 'changes',
  run: async ({ box }, { key, name }) => ({ keys: await addKey(box, key, name) }),
  print: ({ keys }) => keys.map((key) => `${key.name} may enter now (${key.fingerprint}).\n`).join(''),
  names: ({ keys }) => keys.map((key) => key.name),
})
