import { z } from 'zod'
import { portArg, vmArg } from '../kit/args.ts'
import { command } from '../kit/command.ts'
import { changeWeb, shareOf, shareResult, webOf } from './share.ts'

export const sharePortCommand = command({
  name: 'share port',
  summary: "Choose the port behind a VM's plain address",
  details: 'Until you choose, Croft picks a port that the VM listens on: 80, 8000, 8080 or 3000, otherwise the lowest.',
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
