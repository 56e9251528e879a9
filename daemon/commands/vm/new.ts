import { z } from 'zod'
import { runInVm } from '../../adapters/guest/ssh.ts'
import { newVm } from '../../core/vm/create.ts'
import { CroftError } from '../../lib/error.ts'
import {
  commentArg,
  cpuArg,
  diskArg,
  envArg,
  imageArg,
  memoryArg,
  newNameArg,
  priorityArg,
  rateArgs,
  ratesFrom,
  restartArg,
  tagArg,
} from '../kit/args.ts'
import { command } from '../kit/command.ts'
import { describeMade, madeResult, printMade } from '../results/made.ts'

export const newCommand = command({
  name: 'new',
  summary: 'Make a VM',
  details:
    "Without a name, Croft invents one of two words. A VM shares the box's CPUs and memory; set limits only where you want them.",
  examples: [
    'croft new',
    'croft new web --env PORT=8080 --tag shop',
    'croft new build --cpu 2 --memory 2G --setup-script setup.sh',
  ],
  args: z.object({
    name: newNameArg.optional().describe('Its name: a-z, 0-9 and "-"').meta({ placeholder: 'name' }),
    image: imageArg.optional().describe('The image to make it from'),
    cpu: cpuArg.optional(),
    memory: memoryArg.optional(),
    disk: diskArg.optional(),
    priority: priorityArg.optional(),
    restart: restartArg.optional(),
    ...rateArgs,
    env: z.array(envArg).max(200).optional().describe('An environment variable for everything in it; repeatable'),
    setupScript: z
      .string()
      .max(256 * 1024)
      .optional()
      .describe('A script that runs in it once, as its login user')
      .meta({ file: true, placeholder: 'file' }),
    tag: z.array(tagArg).max(50).optional().describe('A tag; repeatable'),
    comment: commentArg.optional().describe('What it is for'),
    stopped: z.boolean().optional().describe('Make it without starting it'),
    cold: z.boolean().optional().describe('Boot it instead of forking one that has already booted'),
  }),
  positional: ['name'],
  result: madeResult,
  touches: 'changes',
  revocable: true,
  async run({ box, report, host, reached, revoked }, args) {
    if (args.stopped && args.setupScript !== undefined) {
      throw new CroftError('misuse', 'A set-up script needs a running VM.', {
        hint: 'Leave out --stopped or --setup-script.',
      })
    }
    const began = performance.now()
    const { vm, cold } = await newVm(
      box,
      {
        name: args.name,
        image: args.image,
        cpus: args.cpu,
        memoryMiB: args.memory,
        diskGiB: args.disk,
        env: Object.fromEntries(
          (args.env ?? []).map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]),
        ),
        tags: [...new Set(args.tag ?? [])],
        comment: args.comment,
        priority: args.priority,
        restart: args.restart,
        rates: ratesFrom(args),
        stopped: args.stopped,
        cold: args.cold,
      },
      report,
      revoked,
    )
    if (args.setupScript !== undefined) {
      report({ subject: vm.name, step: 'running its set-up script', fraction: 0.95 })
      const result = await runInVm(
        box,
        host,
        vm,
        ['cat > .croft-setup && chmod 700 .croft-setup && ./.croft-setup < /dev/null'],
        args.setupScript,
        { signal: revoked },
      )
      if (revoked?.aborted)
        throw new CroftError('cancelled', `${vm.name} is made, but its set-up script was cancelled.`)
      if (result.code !== 0) {
        throw new CroftError(
          'guest-failed',
          `${vm.name} is running, but its set-up script ended with exit code ${result.code}.`,
          {
            hint: `Its output ends with:\n${result.tail}`,
          },
        )
      }
    }
    return describeMade({ box, reached }, vm, cold, began)
  },
  print: printMade,
  names: (vm) => [vm.name],
})
