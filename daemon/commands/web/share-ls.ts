import { z } from 'zod'
import { findVm, vmsOf } from '../../core/box.ts'
import { until } from '../../lib/text/units.ts'
import { vmArg } from '../kit/args.ts'
import { command } from '../kit/command.ts'
import { maySee } from '../kit/scope.ts'
import { table } from '../kit/text.ts'
import { type ShareResult, shareOf, shareResult, webOf } from './share.ts'

export const shareLsCommand = command({
  name: 'share ls',
  summary: 'List web addresses, and which ports are public',
  examples: ['croft share ls', 'croft share ls web'],
  args: z.object({ vm: vmArg.optional() }),
  positional: ['vm'],
  result: z.object({ shares: z.array(shareResult) }),
  touches: 'reads',
  listsVms: true,
  async run({ box, host, principal: { scope } }, { vm: name }) {
    const web = webOf(host)
    const { state } = box.store
    const vms =
      name === undefined
        ? vmsOf(state)
            .filter((vm) => maySee(scope, vm))
            .toSorted((a, b) => a.name.localeCompare(b.name))
        : [findVm(state, name)]
    return { shares: vms.map((vm) => shareOf(web, vm)) }
  },
  names: ({ shares }) => shares.map(({ vm }) => vm),
  print({ shares }, view) {
    if (shares.length === 0) return `No VMs. Make one: ${view.croft} new\n`
    const links = shares.flatMap((share) => share.links)
    const vms = table<ShareResult>(
      shares,
      [
        { title: 'NAME', value: ({ vm }) => vm },
        { title: 'WEB', value: ({ web }) => web },
        { title: 'PUBLIC', value: (share) => share.public.map(({ port }) => port).join(', ') || '–' },
        { title: 'LINKS', value: ({ links }) => String(links.length || '–') },
      ],
      view,
    )
    if (links.length === 0) return vms
    return `${vms}\n${table<ShareResult['links'][number]>(
      links,
      [
        { title: 'LINK', value: ({ id }) => id },
        { title: 'TO', value: ({ web }) => web },
        { title: 'FOR', value: ({ name }) => name },
        { title: 'ENDS', value: ({ expiresAt }) => until(expiresAt, view.now) },
      ],
      view,
    )}`
  },
})
