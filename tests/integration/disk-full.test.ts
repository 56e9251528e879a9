import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Croft, cache, startCroft } from '../lib/croft.ts'
import { must, program } from '../lib/program.ts'

/** A state folder on a file system of its own that can be filled to the last byte. */
let croft: Croft
let folder: string
beforeAll(async () => {
  await must('mkdir', ['-p', '-m', '711', cache])
  folder = await mkdtemp(join(cache, 'full-'))
  await must('mount', ['-t', 'tmpfs', '-o', 'size=24m,mode=711', 'tmpfs', folder])
  croft = await startCroft({ folder, recipes: join(import.meta.dirname, 'fixtures/recipes') })
  await croft.do('image', 'build', 'tiny')
}, 120_000)
afterAll(async () => {
  await croft?.[Symbol.asyncDispose]().catch(() => {})
  await program('umount', ['-l', folder])
  await rm(folder, { recursive: true, force: true })
})

test('a build that fills the disk is a clear error, and everything is put back', async () => {
  const before = await croft.state()
  const failed = await croft.run(['image', 'build', 'big'])
  expect(failed).toMatchObject({ code: 1, stderr: expect.stringContaining('disk of the box is full') })
  expect(await croft.state()).toEqual(before)
  expect((await must('ls', [join(folder, 'building')])).trim()).toBe('')
})

test('a VM on a full disk is a clear error, and everything is put back', async () => {
  const before = await croft.state()
  await program('dd', ['if=/dev/zero', `of=${join(folder, 'filler')}`, 'bs=4k'])
  const failed = await croft.run(['new', 'late', '--image', 'tiny', '--stopped'])
  expect(failed).toMatchObject({ code: 1, stderr: expect.stringContaining('disk of the box is full') })
  await rm(join(folder, 'filler'))
  expect(await croft.run(['ls', '-q'])).toMatchObject({ code: 0, stdout: '' })
  expect((await program('ls', [join(folder, 'vms')])).stdout).toBe('')
  await croft.do('new', 'late', '--image', 'tiny', '--stopped')
  expect(Object.keys((await croft.state()).vms)).toHaveLength(Object.keys(before.vms).length + 1)
})

test('a change that can not be written down does not happen', async () => {
  await writeFile(join(folder, 'filler'), '')
  await program('dd', ['if=/dev/zero', `of=${join(folder, 'filler')}`, 'bs=4k'])
  const failed = await croft.run(['comment', 'late', 'x'.repeat(200)])
  await rm(join(folder, 'filler'))
  expect(failed).toMatchObject({ code: 1, stderr: expect.stringContaining('disk of the box is full') })
  expect((await croft.ask('show', { vm: 'late' })).comment).toBe('')
  await croft.do('comment', 'late', 'now it fits')
})
