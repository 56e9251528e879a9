import { z } from 'zod'
import { findVm, stateOf } from '../../core/box.ts'
import { serviceOn } from '../../doors/gate/services.ts'
import { vmArg } from '../kit/args.ts'
import { command } from '../kit/command.ts'
import { table } from '../kit/text.ts'
import { webAddress } from '../results/measures.ts'
import { portAddress } from '../web/share.ts'

const portResult = z.object({
  port: z.int(),
  /** Whether something listens there now; false for a VM that is not awake, where this is unknown. */
  listens: z.boolean(),
  /** Whether it listens only on loopback, where only the VM itself can reach it. */
  loopback: z.boolean(),
  /** Whether anybody can open it. */
  public: z.boolean(),
  /** Whether the VM's plain address leads to it. */
  main: z.boolean(),
  /** The server that usually listens there, if it doesn't speak HTTP, such as PostgreSQL. */
  service: z.string().nullable(),
  /** Null when this box has no web addresses, or nobody can open it. */
  web: webAddress.nullable(),
})

export type PortResult = z.infer<typeof portResult>

export const portsCommand = command({
  name: 'ports',
  summary: 'Show which ports a VM listens on, and who can open them',
  details: 'This does not wake a sleeping VM; its public ports are shown anyway.',
  examples: ['croft ports web', 'croft ports web --json'],
  args: z.object({ vm: vmArg }),
  positional: ['vm'],
  result: z.object({ vm: z.string(), awake: z.boolean(), ports: z.array(portResult) }),
  touches: 'reads',
  async run({ box, host: { web } }, { vm: name }) {
    const vm = findVm(box.store.state, name)
    const awake = stateOf(box, vm) === 'awake'
    const heard = awake ? await web.listening(vm) : []
    const main = vm.web.port ?? (awake ? await web.findPort(vm) : undefined)
    const numbers = new Set([...heard.map(({ port }) => port), ...vm.web.public, ...(main === undefined ? [] : [main])])
    const ports = [...numbers]
      .sort((a, b) => a - b)
      .map((port) => {
        const listens = heard.find((each) => each.port === port)
        const loopback = listens?.loopback ?? false
        return {
          port,
          listens: listens !== undefined,
          loopback,
          public: vm.web.public.includes(port),
          main: port === main,
          service: serviceOn(port) ?? null,
          web: web.on && !loopback ? portAddress(web, vm, port) : null,
        }
      })
    return { vm: vm.name, awake, ports }
  },
  print({ vm, awake, ports }, view) {
    if (ports.length === 0)
      return awake
        ? `Nothing listens in ${vm} yet.\n`
        : `${vm} is not awake, and none of its ports is public. Wake it: ${view.croft} wake ${vm}\n`
    return table(
      ports,
      [
        { title: 'PORT', value: ({ port }) => String(port), right: true },
        { title: 'WHO', value: (each) => (each.loopback ? 'the VM itself' : each.public ? 'public' : 'private') },
        {
          title: 'NOW',
          value: ({ listens }) => (!awake ? '–' : listens ? 'listens' : 'nothing'),
          dress: ({ listens }) => (listens ? 'green' : 'dim'),
        },
        { title: 'WEB', value: ({ web }) => web ?? '–' },
      ],
      view,
    )
  },
})
