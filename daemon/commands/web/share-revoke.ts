import { z } from 'zod'
import { without } from '../../core/box.ts'
import { CroftError } from '../../lib/error.ts'
import { command } from '../kit/command.ts'
import { describeLink, linkResult, webOf } from './share.ts'

export const shareRevokeCommand = command({
  name: 'share revoke',
  summary: 'Revoke a share link',
  details: 'Anybody who uses it is locked out immediately. croft share ls lists the links.',
  examples: ['croft share revoke lnk_4tq2x7h6ma'],
  args: z.object({
    link: z.string().min(1).max(64).describe("The link's id, from share ls").meta({ placeholder: 'link' }),
  }),
  positional: ['link'],
  result: linkResult,
  touches: 'changes',
  async run({ box, host }, { link: id }) {
    const web = webOf(host)
    const link = box.store.state.links[id]
    const vm = link && box.store.state.vms[link.vm]
    if (!link || !vm)
      throw new CroftError('not-found', `No link called ${JSON.stringify(id)}.`, { hint: 'croft share ls shows them.' })
    await box.store.update((state) => ({ ...state, links: without(state.links, id) }))
    return describeLink(web, vm, link)
  },
  print: ({ web, name }) => `The link to ${web}${name && ` for ${name}`} no longer works.\n`,
})
