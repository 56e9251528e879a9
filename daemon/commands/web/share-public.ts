import { z } from 'zod'
import { portArg, vmArg } from '../kit/args.ts'
import { command } from '../kit/command.ts'
import { changeWeb, meantPort, portAddress, shareOf, shareResult, webOf } from './share.ts'

export const sharePublicCommand = command({
  name: 'share public',
  summary: 'Make a port public',
  details:
    'Anybody can then open that port, and no other. The default is the main port, which the plain address leads to.',
  examples: ['croft share public web', 'croft share public web 3000'],
  args: z.object({ vm: vmArg, port: portArg.optional() }),
  positional: ['vm', 'port'],
  result: shareResult.extend({ opened: z.string() }),
  touches: 'changes',
  async run({ box, host }, { vm: name, port: asked }) {
    const web = webOf(host)
    const port = await meantPort(box, web, name, asked)
    const vm = await changeWeb(box, name, (before) => ({
      port: asked === undefined ? port : before.port,
      public: [...new Set([...before.public, port])],
    }))
    return { ...shareOf(web, vm), opened: portAddress(web, vm, port) }
  },
  print: ({ opened }) => `Anybody can now open ${opened}\n`,
})
