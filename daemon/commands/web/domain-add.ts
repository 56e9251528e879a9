import { z } from 'zod'
import { findVm } from '../../core/box.ts'
import { CroftError } from '../../lib/error.ts'
import { portArg, vmArg } from '../kit/args.ts'
import { command } from '../kit/command.ts'
import { customHostArg, customHostResult, describeHost } from './domain.ts'
import { webOf } from './share.ts'

export const domainAddCommand = command({
  name: 'domain add',
  summary: 'Give a VM a host name of its own',
  details: "The name must resolve to this box. It opens what the VM's other addresses open, to the same people.",
  examples: ['croft domain add shop.example.com shop', 'croft domain add api.example.com shop 3000'],
  args: z.object({ host: customHostArg, vm: vmArg, port: portArg.optional() }),
  positional: ['host', 'vm', 'port'],
  result: customHostResult,
  touches: 'changes',
  async run({ box, host: machine }, { host, vm: name, port = null }) {
    const web = webOf(machine)
    const record = { host, port, vm: findVm(box.store.state, name).id, createdAt: new Date().toISOString() }
    await box.store.update((state) => {
      const { domain } = state.web
      if (host === domain || host.endsWith(`.${domain}`)) {
        throw new CroftError('bad-value', `${host} is one of the box's own names, under ${domain}.`, {
          hint: 'Use a name in another domain. To rename a VM: croft rename',
          argument: 'host',
        })
      }
      const taken = Object.hasOwn(state.hosts, host) ? state.hosts[host] : undefined
      const owner = taken && state.vms[taken.vm]
      if (taken && owner && (taken.vm !== record.vm || taken.port !== port)) {
        throw new CroftError('name-taken', `${host} already leads to ${owner.name}.`, {
          hint: `Remove it first: croft domain rm ${host}`,
          argument: 'host',
        })
      }
      return taken && owner ? state : { ...state, hosts: { ...state.hosts, [host]: record } }
    })
    return describeHost(box.store.state, web, record)
  },
  print: ({ web, vm, port }, { croft }) =>
    `${web} leads to ${port === null ? vm : `port ${port} of ${vm}`}.\n  check its DNS   ${croft} domain check\n`,
})
