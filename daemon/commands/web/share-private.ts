import { z } from 'zod'
import { findVm } from '../../core/box.ts'
import { portArg, vmArg } from '../kit/args.ts'
import { command } from '../kit/command.ts'
import { changeWeb, shareOf, shareResult, webOf } from './share.ts'

export const sharePrivateCommand = command({
  name: 'share private',
  summary: 'Make a port private again',
  details: 'Without a port, all of them become private.',
  examples: ['croft share private web', 'croft share private web 3000'],
  args: z.object({ vm: vmArg, port: portArg.optional() }),
  positional: ['vm', 'port'],
  result: shareResult,
  touches: 'changes',
  async run({ box, host }, { vm: name, port }) {
    const web = webOf(host)
    const { id } = findVm(box.store.state, name)
    const vm = await changeWeb(box, id, (before) => ({
      ...before,
      public: port === undefined ? [] : before.public.filter((each) => each !== port),
    }))
    return shareOf(web, vm)
  },
  print: ({ vm, public: open }) =>
    open.length
      ? `Anybody can still open these addresses of ${vm}:\n${open.map(({ web }) => `  ${web}\n`).join('')}`
      : `${vm} is private.\n`,
})
