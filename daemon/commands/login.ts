import { z } from 'zod'
import { command } from './command.ts'
import { webOf } from './share.ts'

export const loginCommand = command({
  name: 'login',
  summary: 'Make a link that signs you in, in a browser',
  details:
    'The link works once, within 10 minutes. It opens the web addresses of all VMs to that browser, for 30 days.',
  examples: ['croft login'],
  args: z.object({}),
  result: z.object({ link: z.string() }),
  touches: 'enters',
  async run({ host }) {
    return { link: webOf(host).loginLink() }
  },
  print: ({ link }) => `${link}\n`,
})
