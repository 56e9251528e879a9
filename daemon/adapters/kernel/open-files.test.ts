import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openForWriting } from './open-files.ts'

test('lists the files that a process has open for writing, and no others', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'croft-open-'))
  try {
    await using written = await open(join(folder, 'written'), 'w+')
    await using read = await open(join(folder, 'written'), 'r')
    await using _other = await open(join(folder, 'other'), 'w')
    await _other.close()
    expect([written.fd, read.fd]).not.toContain(-1)
    const mine = (await openForWriting(process.pid)).filter((path) => path.startsWith(folder))
    expect(mine).toEqual([join(folder, 'written')])
  } finally {
    await rm(folder, { recursive: true })
  }
})
