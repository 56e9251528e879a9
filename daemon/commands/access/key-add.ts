import { z } from 'zod'
import { addKey } from '../../core/access/keys.ts'
import { tagArg, vmArg } from '../kit/args.ts'
import { command } from '../kit/command.ts'
import { describeKey, type KeyResult, keyNameArg, keyResult } from './key.ts'

export const keyAddCommand = command({
  name: 'key add',
  summary: 'Add an SSH key',
  details:
    'A key can enter all VMs, one VM, or the VMs that have a tag at the time. To change that, remove the key and add it again.',
  examples: [
    'croft key add ~/.ssh/id_ed25519.pub',
    'croft key add - --name laptop < key.pub',
    'croft key add gh:octocat --vm web',
    'croft key add deploy.pub --tag shop',
    'croft key add ca.pub --authority',
  ],
  args: z.object({
    key: z
      .string()
      .min(1)
      .max(64 * 1024)
      .describe('File with the public key, "-" for standard input, or gh:<user> for the keys of a GitHub user')
      .meta({ file: true, literal: 'gh:', placeholder: 'file' }),
    name: keyNameArg.optional().describe('Its name (default: the comment in the key)'),
    vm: vmArg.optional().describe('Let it into this VM only'),
    tag: tagArg.optional().describe('Let it into VMs with this tag only'),
    authority: z.boolean().optional().describe('Trust it as a CA: accept certificates signed by it'),
  }),
  positional: ['key'],
  result: z.object({ keys: z.array(keyResult) }),
  touches: 'changes',
  grants: 'access',
  async run({ box }, { key, ...addition }) {
    const keys = await addKey(box, key, addition)
    return { keys: keys.map((each) => describeKey(box.store.state, each)) }
  },
  print: ({ keys }) => keys.map((key) => `${inWords(key)} (${key.fingerprint}).\n`).join(''),
  names: ({ keys }) => keys.map((key) => key.name),
})

function inWords({ name, vm, tag, authority }: KeyResult): string {
  const who = authority ? `Anybody with a certificate signed by ${name}` : name
  return `${who} can now enter ${vm !== null ? vm : tag !== null ? `VMs tagged "${tag}"` : 'all VMs'}`
}
