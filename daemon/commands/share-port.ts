import { z } from 'zod'
import { portArg, vmArg } from './args.ts'
import { command } from './command.ts'
import { changeWeb, shareOf, shareResult, webOf } from './share.ts'

export const sharePortCommand = command({
  name: 'share port',
  summary: "Say which port a VM's plain address leads to",
  details: 'Until it is said, Croft looks which port the VM listens on: 80, 8000, 8080 or 3000, else the lowest.',
  examples: ['croft share port web 8080'],
  args: z.object({ vm: vmArg, port: portArg }),
  positional: ['vm', 'port'],
  result: shareResult,
  touches: 'changes',
  async run({ box, host }, { vm: name, port }) {
    const web = webOf(host)
    return shareOf(web, await changeWeb(box, name, (before) => ({ ...before, port })))
  },
  print: ({ web, vm, port }) => `${web} leads to port ${port} of ${vm}.\n`,
})
