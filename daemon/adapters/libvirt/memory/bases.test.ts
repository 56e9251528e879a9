import {
  chmodSync,
  chownSync,
  closeSync,
  mkdtempSync,
  openSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { BaseWriter, pageBytes } from './base-file.ts'
import { MemoryBases } from './bases.ts'

const folder = mkdtempSync(join(tmpdir(), 'croft-bases-'))
afterAll(() => rmSync(folder, { recursive: true }))
const createdAt = new Date(0).toISOString()
const base = { id: 'bas_aaaaaaaaaa', file: 'one.base', memoryMiB: 8, of: null, rest: null, createdAt }
const path = join(folder, base.file)

let bases: MemoryBases
beforeEach(() => {
  rmSync(path, { force: true })
  const fd = openSync(path, 'wx+')
  const writer = new BaseWriter(fd, 8 * 2 ** 20)
  for (const page of [1, 700, 1300]) writer.write(page, Buffer.alloc(pageBytes, page % 255))
  writer.finish()
  closeSync(fd)
  chmodSync(path, 0o440)
  bases = new MemoryBases(folder)
})

const write = (at: number, bytes: Buffer) => {
  const fd = openSync(path, 'r+')
  writeSync(fd, bytes, 0, bytes.length, at)
  closeSync(fd)
}

describe('a memory base', () => {
  test('is fine as it was made', async () => {
    const { storedBytes } = await bases.check(base)
    expect(storedBytes).toBe(3 * 2 ** 21)
    // Reading a hole could take room on a disk that is full.
    expect(statSync(path).blocks * 512).toBeGreaterThanOrEqual(storedBytes)
  })

  const damages: [string, () => void, RegExp][] = [
    ['is missing', () => rmSync(path), /there is no one.base/],
    ['is cut short', () => truncateSync(path, 3 * 2 ** 21), /one.base is cut short/],
    ['is longer', () => truncateSync(path, 2 ** 26), /one.base is cut short/],
    ['has a changed page', () => write(9000, Buffer.from('x')), /one.base has been changed/],
    ['has a changed table', () => write(64, Buffer.from([2])), /one.base has been changed/],
    ['has another beginning', () => write(0, Buffer.from('x')), /does not begin like a memory base/],
    ['is for other memory', () => write(16, Buffer.from([0, 0, 0, 1])), /memory of another size/],
    ['can be written', () => chmodSync(path, 0o640), /can be written by others than root/],
    ['belongs to somebody else', () => chownSync(path, 1000, 0), /can be written by others than root/],
  ]
  test.each(damages)('that %s is refused', async (_, damage, why) => {
    damage()
    await expect(bases.check(base)).rejects.toMatchObject({
      code: 'memory-unusable',
      message: expect.stringMatching(why),
    })
  })

  test('that was fine and has changed since is refused', async () => {
    await bases.check(base)
    await bases.check(base)
    write(2 ** 22, Buffer.from('x'))
    await expect(bases.check(base)).rejects.toThrow('has been changed')
  })
})

test('a process that does not map the base is seen', async () => {
  expect(await bases.isMapped(process.pid, base)).toBe(false)
})
