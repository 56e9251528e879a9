import { z } from 'zod'
import { CroftError } from '../../lib/error.ts'
import type { Tls } from '../../store/index.ts'
import { hostNameArg } from '../kit/args.ts'
import { command } from '../kit/command.ts'
import { style } from '../kit/text.ts'
import { webOf } from './share.ts'

const modes = ['acme', 'internal', 'off'] as const

export const domainSetCommand = command({
  name: 'domain set',
  summary: "Set the domain of the VMs' addresses, and how they get certificates",
  details: `The name and everything beneath it (a wildcard record) must resolve to this box; croft domain check tells you whether they do. Certificates come from a CA by ACME when needed, from the box's own CA (internal), or not at all (off: plain HTTP). Everybody who is signed in has to sign in again at the new address. "localhost" restores the default.`,
  examples: [
    'croft domain set box.example.com --email me@example.com',
    'croft domain set box.lan --tls internal',
    'croft domain set localhost',
  ],
  args: z.object({
    domain: hostNameArg.describe('The name').meta({ placeholder: 'domain' }),
    tls: z
      .enum(modes)
      .optional()
      .describe(`Certificates: ${modes.join(', ')}`),
    email: z.email('it is not an email address').max(200).optional().describe('Contact address for the CA'),
    acmeDirectory: z
      .url({ protocol: /^https$/, error: 'it must be a URL that begins with https://' })
      .max(500)
      .optional()
      .describe('Use another CA: the URL of its ACME directory')
      .meta({ placeholder: 'url' }),
    acmeRoot: z
      .string()
      .max(64 * 1024)
      .optional()
      .describe('Root certificate of that CA')
      .meta({ file: true, placeholder: 'file' }),
  }),
  positional: ['domain'],
  result: z.object({ domain: z.string(), tls: z.enum(modes), example: z.string() }),
  touches: 'changes',
  async run({ host }, { domain, tls: asked, email, acmeDirectory, acmeRoot }) {
    const web = webOf(host)
    const mode = asked ?? (domain === 'localhost' ? 'off' : 'acme')
    if (mode !== 'acme' && (email ?? acmeDirectory ?? acmeRoot) !== undefined) {
      throw new CroftError('misuse', `--email, --acme-directory and --acme-root are for --tls acme, not for ${mode}.`)
    }
    if (mode === 'acme' && domain === 'localhost') {
      throw new CroftError('bad-value', 'No CA issues certificates for localhost.', {
        hint: 'Leave out --tls, or choose internal.',
        argument: 'tls',
      })
    }
    if (acmeRoot !== undefined && !/-----BEGIN CERTIFICATE-----[\s\S]+-----END CERTIFICATE-----/.test(acmeRoot)) {
      throw new CroftError('bad-value', 'The root certificate is not in PEM format.')
    }
    const tls: Tls =
      mode === 'acme'
        ? { mode, email: email ?? null, directory: acmeDirectory ?? null, root: acmeRoot ?? null }
        : { mode }
    await web.change({ domain, tls })
    return { domain, tls: mode, example: web.addressOfName('<vm>') }
  },
  print: ({ example }, view) =>
    `VMs are at ${example}\n  ${style(view, 'dim', 'check DNS')}       ${view.croft} domain check\n  ${style(view, 'dim', 'sign in there')}   ${view.croft} login\n`,
})
