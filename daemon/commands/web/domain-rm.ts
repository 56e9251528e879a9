import { z } from 'zod'
import { without } from '../../core/box.ts'
import { command } from '../kit/command.ts'
import { customHostArg, customHostResult, describeHost, findHost } from './domain.ts'
import { webOf } from './share.ts'

export const domainRmCommand = command({
  name: 'domain rm',
  summary: "Remove a VM's own host name",
  examples: ['croft domain rm shop.example.com'],
  args: z.object({ host: customHostArg }),
  positional: ['host'],
  result: customHostResult,
  touches: 'changes',
  async run({ box, host: machine }, { host }) {
    const web = webOf(machine)
    const found = findHost(box.store.state, host)
    await box.store.update((state) => ({ ...state, hosts: without(state.hosts, host) }))
    return describeHost(box.store.state, web, found)
  },
  print: ({ host, vm }) => `${host} no longer leads to ${vm}.\n`,
})
