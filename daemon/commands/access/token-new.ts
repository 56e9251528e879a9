import { z } from 'zod'
import { findVm } from '../../core/box.ts'
import { webScope } from '../../core/interfaces/web.ts'
import { CroftError } from '../../lib/error.ts'
import { durationArg, nameArg, vmArg } from '../kit/args.ts'
import { command } from '../kit/command.ts'
import { style } from '../kit/text.ts'
import { describeToken, tokenResult } from './token.ts'

export const tokenNewCommand = command({
  name: 'token new',
  summary: 'Make a token for a program',
  details: `The token is shown once. Send it as "Authorization: Bearer …", or as the password of HTTP basic authentication with any user name, to a VM's web address or to the API at the box's own address.`,
  examples: [
    'croft token new --name backup --expires 30d',
    'croft token new --vm web --commands web',
    'croft token new --vm web --commands exec,logs',
  ],
  args: z.object({
    vm: vmArg.optional().describe('Limit it to this VM'),
    commands: z
      .string()
      .max(1000)
      .transform((text) => text.split(',').map((each) => each.trim()))
      .optional()
      .describe('Commands that it can run, and "web" for web addresses (default: everything)')
      .meta({ placeholder: 'names' }),
    expires: durationArg.optional().describe('Lifetime, such as 12h or 30d (default: does not expire)'),
    name: nameArg.optional().describe('What it is for'),
  }),
  result: tokenResult.extend({ secret: z.string() }),
  touches: 'enters',
  grants: 'access',
  async run({ box, host, commands: all }, { vm: of, commands: allowed, expires, name = '' }) {
    const known = new Set([webScope, ...all.map((each) => each.name)])
    const unknown = allowed?.find((each) => !known.has(each))
    if (unknown !== undefined) {
      throw new CroftError('bad-value', `There is no command ${JSON.stringify(unknown.slice(0, 40))}.`, {
        hint: 'croft help lists them. Separate several with commas: --commands ls,exec,"image ls"',
        argument: 'commands',
      })
    }
    const vm = of === undefined ? null : findVm(box.store.state, of).id
    const { token, secret } = await host.web.makeToken({ name, vm, commands: allowed ?? null }, expires ?? null)
    return { ...describeToken(box.store.state, token), secret }
  },
  print: ({ secret, id }, view) =>
    `${secret}\n  ${style(view, 'dim', 'It is not shown again. Revoke it:')}   ${view.croft} token revoke ${id}\n`,
})
