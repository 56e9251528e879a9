import { z } from 'zod'
import { runInVm, shellLine } from '../../adapters/guest/ssh.ts'
import { inVm } from '../../core/sleep/wake.ts'
import { CroftError } from '../../lib/error.ts'
import { quote } from '../../lib/text/command-line.ts'
import { vmArg } from '../kit/args.ts'
import { command } from '../kit/command.ts'
import { userArg } from './transfer.ts'

/** Time limit for a command run by the guest agent. */
const agentMs = 10 * 60_000

export const execCommand = command({
  name: 'exec',
  summary: 'Run a command in a VM',
  details:
    "Standard input goes in; output and exit code come out. A single word is run by the shell in the VM; several words are a program and its arguments, passed as they are. Croft's own flags come before them.",
  examples: [
    'croft exec web uname -a',
    'croft exec web --user root id',
    "croft exec web 'ls | wc -l'",
    'croft exec web tar x < site.tar',
    'croft exec web -- ls --all',
    'croft exec web --by-agent systemctl status ssh',
  ],
  args: z.object({
    vm: vmArg,
    command: z
      .array(z.string().max(128 * 1024))
      .min(1)
      .describe('The command to run')
      .meta({ placeholder: 'command', secret: true }),
    stdin: z
      .string()
      .max(8 * 1024 * 1024)
      .optional()
      .describe('Text for its standard input, for callers that have none')
      .meta({ secret: true }),
    user: userArg,
    byAgent: z
      .boolean()
      .optional()
      .describe(
        'Run it as root through the guest agent, for when SSH does not work. No input; output comes at the end',
      ),
  }),
  positional: ['vm'],
  rest: 'command',
  result: z.object({
    exitCode: z.int(),
    stdout: z.string(),
    stderr: z.string(),
    truncated: z.boolean().describe('Whether there was more than the first MiB of either'),
  }),
  touches: 'enters',
  async run({ box, host, report, stdin: given, output, signal }, { vm: name, command: words, stdin, user, byAgent }) {
    if (byAgent) {
      if (user !== undefined || stdin !== undefined)
        throw new CroftError('misuse', 'The guest agent runs commands as root and without input.', {
          hint: 'Leave out --user and --stdin, or --by-agent.',
        })
      const line = shellLine(words)
      const { code, ...said } = await inVm(box, name, 'croft exec', report, (vm) =>
        box.guests.script(vm.uuid, `sh -c ${quote(line)} < /dev/null`, agentMs),
      )
      await output?.out(said.stdout)
      await output?.err(said.stderr)
      return { exitCode: code, ...(output ? { stdout: '', stderr: '' } : said), truncated: false }
    }
    const result = await inVm(box, name, 'croft exec', report, (vm) =>
      runInVm(box, host, vm, words, stdin ?? given, { output, signal, user }),
    )
    const { code: exitCode, stdout, stderr, truncated } = result
    return { exitCode, stdout, stderr, truncated }
  },
  print: ({ stdout }) => stdout,
  exitCode: ({ exitCode }) => exitCode,
})
