import { expect, test } from 'vitest'
import { commands } from '../index.ts'
import { parseLine, usageLine } from './line.ts'

test('what stands for a file is read, and what is meant as it is, is not', () => {
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
])('of croft %s the flags of Croft are those before the words that are passed on', (line, args) => {
  expect(parseLine(commands, line.split(' ')).args).toEqual(args)
})

test('a flag before a command that nobody knows is not passed into the VM, and usage says where flags stand', () => {
  expect(() => parseLine(commands, ['exec', 'v', '--usr', 'root', 'id'])).toThrow('croft exec has no flag --usr.')
  const usageOf = (name: string) => usageLine(commands.find((each) => each.name === name)!)
  expect(usageOf('exec')).toBe('croft exec <vm> [flags] [--] <command>…')
  expect(usageOf('ssh')).toBe('croft ssh <vm> [<ssh arguments>…]')
})
