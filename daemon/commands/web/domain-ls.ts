import { z } from 'zod'
import { command } from '../kit/command.ts'
import { table } from '../kit/text.ts'
import { type CustomHostResult, customHostResult, describeHost } from './domain.ts'
import { webOf } from './share.ts'

const words = { acme: 'certificates by ACME', internal: "certificates by the box's own CA", off: 'no certificates' }

const domainResult = z.object({
  domain: z.string(),
  tls: z.enum(['acme', 'internal', 'off']),
  example: z.string(),
  hosts: z.array(customHostResult),
})

export type DomainResult = z.infer<typeof domainResult>

export const domainLsCommand = command({
  name: 'domain ls',
  summary: 'List the domain and host names of VMs',
  examples: ['croft domain ls'],
  args: z.object({}),
  result: domainResult,
  touches: 'reads',
  async run({ box, host }) {
    const web = webOf(host)
    const { state } = box.store
    const hosts = Object.values(state.hosts).filter(({ vm }) => vm in state.vms)
    return {
      domain: state.web.domain,
      tls: state.web.tls.mode,
      example: web.addressOfName('<vm>'),
      hosts: hosts.toSorted((a, b) => a.host.localeCompare(b.host)).map((each) => describeHost(state, web, each)),
    }
  },
  names: ({ hosts }) => hosts.map(({ host }) => host),
  print({ example, tls, hosts }, view) {
    const base = `VMs are at ${example} (${words[tls]})\n`
    if (hosts.length === 0) return base
    return `${base}\n${table<CustomHostResult>(
      hosts,
      [
        { title: 'HOST', value: ({ host }) => host },
        { title: 'VM', value: ({ vm }) => vm },
        { title: 'PORT', value: ({ port }) => (port === null ? '–' : String(port)) },
      ],
      view,
    )}`
  },
})
