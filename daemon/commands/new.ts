import { z } from 'zod'
import { findVm } from '../box/box.ts'
import { newVm } from '../box/create.ts'
import { CroftError } from '../error.ts'
import { runInVm } from '../guest/ssh.ts'
import { seconds } from '../units.ts'
import { commentArg, cpuArg, diskArg, envArg, imageArg, memoryArg, newNameArg, tagArg } from './args.ts'
import { command } from './command.ts'
import { style } from './text.ts'
import { describeVm, vmResult } from './vm-result.ts'

export const newCommand = command({
  name: 'new',
  summary: 'Make a VM',
  details:
    'Without a name it gets one of two words. It shares the CPUs and memory of the box; limits are only for where you want them.',
  examples: [
    'croft new',
    'croft new web --env PORT=8080 --tag shop',
    'croft new build --cpu 2 --memory 2G --setup-script setup.sh',
  ],
  args: z.object({
    name: newNameArg.optional().describe('Its name: a-z, 0-9 and "-"').meta({ placeholder: 'name' }),
    image: imageArg.optional().describe('What it is made from'),
    cpu: cpuArg.optional(),
    memory: memoryArg.optional(),
    disk: diskArg.optional(),
    env: z.array(envArg).max(200).optional().describe('A variable for everything that runs in it; may be given often'),
    setupScript: z
      .string()
      .max(256 * 1024)
      .optional()
      .describe('A script that runs in it once, as its login user')
      .meta({ file: true, placeholder: 'file' }),
    tag: z.array(tagArg).max(50).optional().describe('A tag; may be given often'),
    comment: commentArg.optional().describe('What it is for'),
    stopped: z.boolean().optional().describe('Make it, but do not start it'),
  }),
  positional: ['name'],
  result: vmResult.extend({ tookMs: z.number() }),
  touches: 'changes',
  async run({ box, report, host }, args) {
    if (args.stopped && args.setupScript !== undefined) {
      throw new CroftError('misuse', 'A set-up script needs a VM that runs.', {
        hint: 'Leave out --stopped or --setup-script.',
      })
    }
    const began = performance.now()
    const vm = await newVm(
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
        stopped: args.stopped,
      },
      report,
    )
    if (args.setupScript !== undefined) {
      report({ subject: vm.name, step: 'running its set-up script', fraction: 0.95 })
      const result = await runInVm(
        box,
        host.folder,
        vm,
        ['cat > .croft-setup && chmod 700 .croft-setup && ./.croft-setup < /dev/null'],
        args.setupScript,
      )
      if (result.code !== 0) {
        throw new CroftError(
          'guest-failed',
          `${vm.name} runs, but its set-up script ended with exit code ${result.code}.`,
          {
            hint: `Its output ends with:\n${result.tail}`,
          },
        )
      }
    }
    return { ...describeVm(box, findVm(box.store.state, vm.id)), tookMs: performance.now() - began }
  },
  print: (vm, view) =>
    vm.state === 'stopped'
      ? `${style(view, 'bold', vm.name)} is made. Start it: croft start ${vm.name}\n`
      : `${style(view, 'bold', vm.name)} is ready, in ${seconds(vm.tookMs)}.\n` +
        `  ${style(view, 'dim', 'shell')}   croft ssh ${vm.name}\n` +
        `  ${style(view, 'dim', 'run')}     croft exec ${vm.name} uname -a\n`,
  names: (vm) => [vm.name],
})
