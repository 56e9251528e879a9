import { z } from 'zod'
import { findVm } from '../box/box.ts'
import { durationArg, nameArg, portArg, vmArg } from './args.ts'
import { command } from './command.ts'
import { describeLink, linkResult, webOf } from './share.ts'

export const shareLinkCommand = command({
  name: 'share link',
  summary: 'Make a link that lets somebody into one address of a VM',
  details:
    'Whoever opens it may come back until it is over, or you revoke it. It opens the plain address, or with --port the address of that port, and nothing else. The link is shown once: Croft keeps only enough of it to know it again.',
  examples: [
    'croft share link web',
    'croft share link web --expires 12h --name Ann',
    'croft share link web --port 3000',
  ],
  args: z.object({
    vm: vmArg,
    port: portArg.optional(),
    expires: durationArg.default(7 * 86_400).describe('How long it works: 30m, 12h, 7d; by default 7d'),
    name: nameArg.optional().describe('Whom it is for: the VM is told'),
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
  print: ({ url, id }, { croft }) => `${url}\n  take it back   ${croft} share revoke ${id}\n`,
})
