import { z } from 'zod'
import { followFile } from '../../adapters/guest/follow.ts'
import { consoleLogPath } from '../../adapters/libvirt/domain-xml.ts'
import { findVm } from '../../core/box.ts'
import { plainPieces } from '../../lib/text/plain-text.ts'
import { vmArg } from '../kit/args.ts'
import { command } from '../kit/command.ts'

export const logsCommand = command({
  name: 'logs',
  summary: "Show a VM's serial console",
  examples: ['croft logs web', 'croft logs web -f', 'croft logs web --lines 500'],
  args: z.object({
    vm: vmArg,
    follow: z.boolean().optional().describe('Keep showing new output until Ctrl-C'),
    lines: z
      .int()
      .min(1)
      .max(10_000)
      .default(100)
      .describe('How many of the last lines to show')
      .meta({ placeholder: 'n' }),
  }),
  positional: ['vm'],
  short: { follow: 'f', lines: 'n' },
  result: z.object({ vm: z.string(), text: z.string().nullable() }),
  touches: 'reads',
  async run({ box, host, output, signal }, { vm: name, follow, lines }) {
    const vm = findVm(box.store.state, name)
    const tail = await box.guests.consoleTail(vm, lines).catch(() => '')
    if (!follow || !output) return { vm: vm.name, text: tail && `${tail}\n` }
    if (tail) await output.out(`${tail}\n`)
    const plain = plainPieces()
    await followFile(consoleLogPath(host.folder, vm), (text) => output.out(plain(text)), signal)
    return { vm: vm.name, text: null }
  },
  print: ({ vm, text }) => (text === '' ? `${vm} has written nothing to its console yet.\n` : (text ?? '')),
})
