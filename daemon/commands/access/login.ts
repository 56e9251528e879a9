import { z } from 'zod'
import { command } from '../kit/command.ts'
import { style } from '../kit/text.ts'

export const loginCommand = command({
  name: 'login',
  summary: 'Print a link that signs you in',
  details:
    'The link works once, within 10 minutes. It signs a browser in to the web addresses of all VMs for 30 days. croft session ls lists who is signed in.',
  examples: ['croft login'],
  args: z.object({}),
  result: z.object({
    /** For the box's own web address; null when it has none. */
    link: z.string().nullable(),
    /** For the daemon's own port, on this machine. */
    local: z.string(),
  }),
  touches: 'enters',
  grants: 'access',
  run: async ({ host }) => host.web.loginLinks(),
  print({ link, local }, view) {
    const here = `${style(view, 'dim', 'on this machine')}   ${local}\n`
    return link === null ? here : `${link}\n  ${here}`
  },
})
