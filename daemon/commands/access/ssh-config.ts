import { z } from 'zod'
import { hostKeyOf } from '../../adapters/guest/index.ts'
import { vmOfHost } from '../../core/access/login.ts'
import { CroftError } from '../../lib/error.ts'
import { command } from '../kit/command.ts'
import { maySee } from '../kit/scope.ts'

export const sshConfigCommand = command({
  name: 'ssh-config',
  summary: 'Print SSH settings that make each VM a host of its own',
  details:
    'Put the output into ~/.ssh/config on your laptop. Then ssh, scp, rsync and editors reach each VM by its name beneath the domain, encrypted end to end. Host keys are checked against those that Croft made, so ssh never asks whether to trust one.',
  examples: ['croft ssh-config', 'ssh -p 2222 croft@box.example.com ssh-config >> ~/.ssh/config'],
  args: z.object({
    host: z
      .string()
      .regex(/^[A-Za-z0-9:.][A-Za-z0-9.:-]{0,252}$/, 'it is not a host name or address')
      .optional()
      .describe("The box's host name (default: its domain, or the name you reached the lobby by, or its own name)")
      .meta({ placeholder: 'host' }),
    knownHost: z
      .string()
      .max(300)
      .optional()
      .describe('Print the known_hosts line of this host instead; ssh runs it this way')
      .meta({ placeholder: 'name' }),
  }),
  result: z.object({ text: z.string() }),
  touches: 'reads',
  listsVms: true,
  async run({ box, host: { folder }, principal: { scope }, reached: connected }, { host, knownHost }) {
    const { state } = box.store
    const { domain } = state.web
    if (knownHost !== undefined) {
      const name = vmOfHost(knownHost, domain)
      const vm = Object.values(state.vms).find((each) => each.name === name && maySee(scope, each))
      return { text: vm ? `${knownHost} ${await hostKeyOf(folder, vm)}\n` : '' }
    }
    if (!box.ssh)
      throw new CroftError('conflict', 'This box has no SSH gateway.', {
        hint: 'The configuration turns it off with "ssh": false.',
      })
    const { port } = box.ssh
    const reached = host ?? box.ssh.host(connected)
    const through = `ssh -p ${port}`
    const image = Object.values(state.images).find((each) => each.current && each.name === box.settings.defaults.image)
    const user = image?.user ?? 'dev'
    return {
      text: [
        '# Croft: the lobby is "ssh croft", a VM is its name beneath the domain.',
        'Host croft',
        `  HostName ${reached}`,
        `  Port ${port}`,
        '  User croft',
        '',
        `Host *.${domain}`,
        `  User ${user}`,
        `  ProxyCommand ${through} -W %h:22 croft@${reached}`,
        `  KnownHostsCommand /usr/bin/${through} croft@${reached} ssh-config --known-host %H`,
        '  StrictHostKeyChecking yes',
        '',
      ].join('\n'),
    }
  },
  print: ({ text }) => text,
})
