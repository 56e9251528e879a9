import { z } from 'zod'
import { sshArgs } from '../../adapters/guest/ssh.ts'
import { imageOf } from '../../core/box.ts'
import { inVm } from '../../core/sleep/wake.ts'
import { CroftError } from '../../lib/error.ts'
import { vmArg } from '../kit/args.ts'
import { command } from '../kit/command.ts'

export const sshCommand = command({
  name: 'ssh',
  summary: 'Open a shell in a VM',
  examples: ['croft ssh web', 'croft ssh web -L 8080:localhost:80'],
  args: z.object({
    vm: vmArg,
    args: z
      .array(z.string())
      .optional()
      .describe('More arguments for ssh')
      .meta({ placeholder: 'ssh arguments', options: true, secret: true }),
  }),
  positional: ['vm'],
  rest: 'args',
  result: z.object({ exitCode: z.int(), command: z.array(z.string()) }),
  touches: 'enters',
  async run({ box, host, report, handOff, root }, { vm: name, args = [] }) {
    return inVm(box, name, 'an SSH session', report, async (vm) => {
      const { user } = imageOf(box.store.state, vm)
      const command = [...sshArgs(host.folder, vm, user, { ownKey: !root }), ...args]
      if (!handOff) {
        throw new CroftError('misuse', 'A shell needs a terminal, and there is none here.', {
          hint: `Run a command instead: croft exec ${vm.name} …`,
        })
      }
      return { exitCode: await handOff('ssh', command, { vm: vm.name, words: args }), command: ['ssh', ...command] }
    })
  },
  print: () => '',
  exitCode: ({ exitCode }) => exitCode,
})
