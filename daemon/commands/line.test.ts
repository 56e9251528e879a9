import { expect, test } from 'vitest'
import { commands } from './index.ts'
import { parseLine } from './line.ts'

test('what stands for a file is read, and what is meant as it is, is not', () => {
  expect(parseLine(commands, ['key', 'add', 'key.pub'])).toMatchObject({ args: { key: 'key.pub' }, files: ['key'] })
  expect(parseLine(commands, ['key', 'add', './gh:ada'])).toMatchObject({ files: ['key'] })
  expect(parseLine(commands, ['key', 'add', 'gh:ada', '--vm', 'web'])).toMatchObject({
    args: { key: 'gh:ada', vm: 'web' },
    files: [],
  })
})
