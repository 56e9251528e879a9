import { expect, test } from 'vitest'
import { formatCommandLine } from './command-line.ts'

const plain = { positional: ['vm'], rest: undefined, files: [] }

test.each([
  ['sleep', { vm: 'web' }, plain, 'croft sleep web'],
  ['share public', { vm: 'web', port: 8000 }, { ...plain, positional: ['vm', 'port'] }, 'croft share public web 8000'],
  ['rm', { vm: 'web', yes: true }, plain, 'croft rm web --yes'],
  ['checkpoint', { vm: 'web', label: "it's late" }, plain, "croft checkpoint web --label 'it'\\''s late'"],
  [
    'new',
    { env: ['A=1', 'B=$x'], stopped: false, comment: '' },
    { ...plain, positional: ['name'] },
    "croft new --env A=1 --env 'B=$x'",
  ],
  [
    'new',
    { setupScript: 'echo hello' },
    { ...plain, positional: ['name'], files: [{ key: 'setupScript' }] },
    'croft new --setup-script file',
  ],
  [
    'key add',
    { key: 'ssh-ed25519 AAAA me', name: 'laptop' },
    { positional: ['key'], rest: undefined, files: [{ key: 'key', literal: 'gh:' }] },
    'croft key add file --name laptop',
  ],
  [
    'key add',
    { key: 'gh:ada' },
    { positional: ['key'], rest: undefined, files: [{ key: 'key', literal: 'gh:' }] },
    'croft key add gh:ada',
  ],
  ['comment', { vm: 'web', text: '' }, { ...plain, positional: ['vm', 'text'] }, "croft comment web ''"],
  ['exec', { vm: 'web', command: ['ls', '-l'] }, { ...plain, rest: 'command' }, 'croft exec web ls -l'],
  [
    'exec',
    { vm: 'web', user: 'root', command: ['-x'] },
    { ...plain, rest: 'command' },
    'croft exec web --user root -- -x',
  ],
])('%s with %j is written as one would type it', (name, args, spelling, line) => {
  expect(formatCommandLine(name, args, spelling)).toBe(line)
})
