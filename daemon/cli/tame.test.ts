import { execFile } from 'node:child_process'
import { chmod, link, lstat, mkdir, mkdtemp, readdir, readlink, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { staysWithin, tame } from './tame.ts'

const run = promisify(execFile)
let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tame-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

test.each([
  ['a', 'b', true],
  ['a', './b/c', true],
  ['deep/er/a', '../../b', true],
  ['deep/a', '..', true],
  ['a', '/etc/passwd', false],
  ['a', '..', false],
  ['deep/a', '../../x', false],
  // Down and up again: the folder below may be a link to a place that is less deep.
  ['a', 'b/../c', false],
])('a link at %s to %s stays within: %s', (path, target, within) => expect(staysWithin(path, target)).toBe(within))

test('removes what reaches beyond an unpacked folder, and keeps the rest unchanged', async () => {
  const root = join(folder, 'root')
  await mkdir(join(root, 'closed'), { recursive: true })
  await writeFile(join(folder, 'mine'), 'mine')
  await writeFile(join(root, 'a file'), 'plain', { mode: 0o640 })
  await writeFile(join(root, 'setuid'), '#!/bin/sh')
  await chmod(join(root, 'setuid'), 0o4755)
  await writeFile(join(root, 'one'), 'twice')
  await link(join(root, 'one'), join(root, 'two'))
  await link(join(folder, 'mine'), join(root, 'stolen'))
  await symlink('a file', join(root, 'within'))
  await symlink('/etc', join(root, 'outside'))
  await symlink('../../mine', join(root, 'closed', 'above'))
  await run('mkfifo', [join(root, 'pipe')])
  await run('mknod', [join(root, 'closed', 'zero'), 'c', '1', '5']).catch(() => {}) // if this user is allowed to
  await chmod(join(root, 'closed'), 0o000)

  const left = await tame(root)
  expect(left.map(({ path }) => path).sort()).toEqual(
    expect.arrayContaining(['closed/above', 'outside', 'pipe', 'stolen']),
  )
  expect((await readdir(root)).sort()).toEqual(['a file', 'closed', 'one', 'setuid', 'two', 'within'])
  expect(await readdir(join(root, 'closed'))).toEqual([])
  expect(await readlink(join(root, 'within'))).toBe('a file')
  const mode = async (name: string) => (await lstat(join(root, name))).mode & 0o7777
  expect(await Promise.all(['a file', 'setuid', 'closed'].map(mode))).toEqual([0o640, 0o755, 0o700])
})
