import { expect, test } from 'vitest'
import { commands } from '../index.ts'
import { parseLine, usageLine } from './line.ts'

test('a path stands for the content of the file, a literal value for itself', () => {
  expect(parseLine(commands, ['key', 'add', 'key.pub'])).toMatchObject({ args: { key: 'key.pub' }, files: ['key'] })
  expect(parseLine(commands, ['key', 'add', './gh:ada'])).toMatchObject({ files: ['key'] })
  expect(parseLine(commands, ['key', 'add', 'gh:ada', '--vm', 'web'])).toMatchObject({
    args: { key: 'gh:ada', vm: 'web' },
    files: [],
  })
})

test.each([
  ['exec v --user root id', { vm: 'v', user: 'root', command: ['id'] }],
  ['exec --user root v id', { vm: 'v', user: 'root', command: ['id'] }],
  ['exec v id --user root', { vm: 'v', command: ['id', '--user', 'root'] }],
  ['exec v -- --user root', { vm: 'v', command: ['--user', 'root'] }],
  ['exec v ls -- -x', { vm: 'v', command: ['ls', '--', '-x'] }],
  ['exec v --json ls --all', { vm: 'v', command: ['ls', '--all'] }],
  ['ssh v -L 8080:localhost:80', { vm: 'v', args: ['-L', '8080:localhost:80'] }],
  ['ssh v -q', { vm: 'v', args: ['-q'] }],
  ['complete -- new --i', { words: ['new', '--i'] }],
])('in croft %s, only flags before the passed-on words are Croft’s', (line, args) => {
  expect(parseLine(commands, line.split(' ')).args).toEqual(args)
})

test('an unknown flag before the command is not passed into the VM, and usage says where flags go', () => {
  expect(() => parseLine(commands, ['exec', 'v', '--usr', 'root', 'id'])).toThrow('croft exec has no flag --usr.')
  const usageOf = (name: string) => usageLine(commands.find((each) => each.name === name)!)
  expect(usageOf('exec')).toBe('croft exec <vm> [flags] [--] <command>…')
  expect(usageOf('ssh')).toBe('croft ssh <vm> [<ssh arguments>…]')
})
