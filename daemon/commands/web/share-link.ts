import { z } from 'zod'
import { findVm } from '../../core/box.ts'
import { durationArg, nameArg, portArg, vmArg } from '../kit/args.ts'
import { command } from '../kit/command.ts'
import { describeLink, linkResult, webOf } from './share.ts'

export const shareLinkCommand = command({
  name: 'share link',
  summary: 'Make a link that opens one address of a VM',
  details:
    'Anybody who has the link can use it until it expires or you revoke it. It opens the plain address, or with --port the address of that port, and nothing else. It is shown once; Croft stores only a hash of it.',
  examples: [
    'croft share link web',
    'croft share link web --expires 12h --name Ann',
    'croft share link web --port 3000',
  ],
  args: z.object({
    vm: vmArg,
    port: portArg.optional(),
    expires: durationArg.default(7 * 86_400).describe('Lifetime: 30m, 12h, 7d (default: 7d)'),
    name: nameArg.optional().describe('Who it is for; the VM is told this name'),
  }),
  positional: ['vm'],
  result: linkResult.extend({ url: z.string() }),
  touches: 'changes',
  async run({ box, host }, { vm: of, port, expires, name = '' }) {
    const web = webOf(host)
    const vm = findVm(box.store.state, of)
    const { link, url } = await web.shareLink(vm, port ?? null, name, expires)
    return { ...describeLink(web, vm, link), url }
  },
  print: ({ url, id }, { croft }) => `${url}\n  revoke it   ${croft} share revoke ${id}\n`,
})
