import { z } from 'zod'
import { ago } from '../../lib/text/units.ts'
import { command } from '../kit/command.ts'
import { table } from '../kit/text.ts'
import { describeKey, keyResult } from './key.ts'

export const keyLsCommand = command({
  name: 'key ls',
  summary: 'List SSH keys',
  examples: ['croft key ls'],
  args: z.object({}),
  result: z.object({ keys: z.array(keyResult) }),
  touches: 'reads',
  run: async ({ box }) => ({
    keys: Object.values(box.store.state.keys).map((key) => describeKey(box.store.state, key)),
  }),
  print: ({ keys }, view) =>
    keys.length === 0
      ? `No keys. Add yours: ${view.croft} key add ${view.croft === 'croft' ? '~/.ssh/id_ed25519.pub' : '- < ~/.ssh/id_ed25519.pub'}\n`
      : table(
          keys,
          [
            { title: 'NAME', value: (key) => key.name, dress: () => 'bold' },
            { title: 'VM', value: ({ vm, tag }) => vm ?? (tag === null ? 'all' : `tag ${tag}`) },
            {
              title: 'TYPE',
              value: ({ publicKey, authority }) => `${publicKey.split(' ')[0]}${authority ? ' authority' : ''}`,
            },
            { title: 'ADDED', value: (key) => ago(key.createdAt, view.now) },
            { title: 'FINGERPRINT', value: (key) => key.fingerprint },
          ],
          view,
        ),
  names: ({ keys }) => keys.map((key) => key.name),
})
