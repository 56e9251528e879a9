import { posix } from 'node:path'
import { z } from 'zod'
import { CroftError } from '../../lib/error.ts'
import { vmArg } from '../kit/args.ts'
import { command } from '../kit/command.ts'
import { betweenEnds, pathArg, said, userArg } from './transfer.ts'

const look = `
if [ -d "$1" ]; then echo folder
elif [ -f "$1" ]; then echo file
elif [ -e "$1" ]; then echo "$1 is neither a file nor a folder" >&2; exit 4
else exit 3; fi`

export const pullCommand = command({
  name: 'pull',
  summary: 'Copy a file or a folder out of a VM',
  details:
    'If the target is a folder, the copy goes into it under its own name; otherwise it gets the name you give. Without a target, it goes into the current folder. The contents of a folder are merged into an existing one. Modes and times are kept; devices, and links that lead outside the copy, are left out. From a laptop, scp does the same: scp -P 2222 -r web@box.example.com:/srv/www .',
  examples: ['croft pull web /etc/hostname', 'croft pull web /srv/www site', 'croft pull web /etc/shadow --user root'],
  args: z.object({
    vm: vmArg,
    source: pathArg
      .refine((path) => !['', '.', '..'].includes(posix.basename(path)), 'it must end in the name of a file or folder')
      .describe('The file or folder in the VM')
      .meta({ placeholder: 'source' }),
    target: pathArg.optional().describe('Where to put it').meta({ placeholder: 'target', path: true }),
    user: userArg,
  }),
  positional: ['vm', 'source', 'target'],
  result: z.object({ vm: z.string(), source: z.string() }),
  touches: 'enters',
  run: (context, { vm: name, source, target = '.', user }) =>
    betweenEnds(context, name, user, 'croft pull', async ({ vm, here, inside, transfer }) => {
      const there = source.replace(/(?<=.)\/+$/, '')
      const looked = await inside(look, there)
      if (looked.code === 3) throw new CroftError('not-found', `${vm.name} has no ${posix.normalize(there)}.`)
      if (looked.code !== 0) throw new CroftError('guest-failed', `It can't be read in ${vm.name}: ${said(looked)}.`)
      const kind = looked.stdout.trim() === 'folder' ? 'folder' : 'file'
      await transfer({ way: 'pull', here: here(target), there, kind })
      return { vm: vm.name, source: there }
    }),
  print: ({ vm, source }) => `Copied ${source} from ${vm}.\n`,
  names: ({ source }) => [source],
})
