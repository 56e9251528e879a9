import { posix } from 'node:path'
import { z } from 'zod'
import { CroftError } from '../../lib/error.ts'
import { vmArg } from '../kit/args.ts'
import { command } from '../kit/command.ts'
import { betweenEnds, pathArg, said, temporaryName, userArg } from './transfer.ts'

/** Creates a temporary folder beside the target for what is sent, and prints whether the target is a folder. */
const prepare = `
if [ -d "$1" ]; then mkdir -m 700 -- "$1/$2" && echo folder
elif [ -d "$3" ] && [ "$1" = "\${1%/}" ]; then mkdir -m 700 -- "$3/$2" && echo name
else exit 3; fi`

/** Moves what was sent into place atomically, except into an existing folder, which it is merged into. */
const place = `
made=$1/file/$2
[ -d "$1/folder" ] && made=$1/folder
if [ ! -d "$3" ]; then mv -f -- "$made" "$3"
elif [ -d "$made" ]; then cp -a -- "$made/." "$3/"
else echo "$3 is a folder already" >&2; exit 4; fi && rm -rf -- "$1"`

export const pushCommand = command({
  name: 'push',
  summary: 'Copy a file or a folder into a VM',
  details:
    'If the target is a folder, the copy goes into it under its own name; otherwise it gets the name you give. Without a target, it goes into the login user’s home. The contents of a folder are merged into an existing one. Modes and times are kept. From a laptop, scp does the same: scp -P 2222 -r site web@box.example.com:',
  examples: [
    'croft push web site /srv/www',
    'croft push web notes.txt',
    'croft push web app.conf /etc/app.conf --user root',
  ],
  args: z.object({
    vm: vmArg,
    source: pathArg.describe('The file or folder to copy').meta({ placeholder: 'source', path: true }),
    target: pathArg.optional().describe('Where to put it in the VM').meta({ placeholder: 'target' }),
    user: userArg,
  }),
  positional: ['vm', 'source', 'target'],
  result: z.object({ vm: z.string(), target: z.string() }),
  touches: 'enters',
  run: (context, { vm: name, source, target = '.', user }) =>
    betweenEnds(context, name, user, 'croft push', async ({ vm, here, inside, transfer }) => {
      const temporary = temporaryName()
      const prepared = await inside(prepare, target, temporary, posix.dirname(target))
      if (prepared.code === 3)
        throw new CroftError(
          'not-found',
          `${vm.name} has no folder ${target.endsWith('/') ? target : posix.dirname(target)}.`,
          {
            hint: `Create it first: croft exec ${vm.name} mkdir -p …`,
          },
        )
      if (prepared.code !== 0)
        throw new CroftError('guest-failed', `It can't be written in ${vm.name}: ${said(prepared)}.`)
      const isFolder = prepared.stdout.trim() === 'folder'
      const folder = isFolder ? target : posix.dirname(target)
      const from = here(source)
      const own = posix.basename(from)
      const to = isFolder ? posix.join(target, own) : target
      const there = `${folder}/${temporary}`
      try {
        await transfer({ way: 'push', here: from, there })
        const placed = await inside(place, there, own, to)
        if (placed.code !== 0)
          throw new CroftError('guest-failed', `It can't be written in ${vm.name}: ${said(placed)}.`)
      } catch (error) {
        await inside('rm -rf -- "$1"', there).catch(() => {})
        throw error
      }
      return { vm: vm.name, target: to }
    }),
  print: ({ vm, target }) => `Copied to ${vm}: ${target}\n`,
  names: ({ target }) => [target],
})
