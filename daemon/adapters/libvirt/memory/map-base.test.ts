import { execFile } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { BaseReader, BaseWriter, chunkBytes, pageBytes } from './base-file.ts'

/** Preloads the library into a program that treats memory as QEMU does. */
const run = promisify(execFile)
const library = join(import.meta.dirname, '../../../../build/map-base.so')
const folder = mkdtempSync(join(tmpdir(), 'croft-map-base-'))
const driver = join(folder, 'like-qemu')
const path = join(folder, 'base')
beforeAll(() => run('cc', ['-O2', '-o', driver, join(import.meta.dirname, 'fixtures/like-qemu.c')]))
afterAll(() => rmSync(folder, { recursive: true }))

/** The last chunk is cut short, as a VM's memory may be any number of MiB. */
const bytes = 4 * chunkBytes + 2 ** 20
const pages = bytes / pageBytes
const chunkPages = chunkBytes / pageBytes

/** Writes a base with these pages, each filled with a byte. */
function makeBase(content: readonly (readonly [page: number, byte: number])[]): void {
  rmSync(path, { force: true })
  const fd = openSync(path, 'wx+')
  const writer = new BaseWriter(fd, bytes)
  for (const [page, byte] of content) writer.write(page, Buffer.alloc(pageBytes, byte))
  writer.finish()
  closeSync(fd)
}

/** The memory that a program sees, after these operations. */
async function memory(...operations: (string | number)[]): Promise<Buffer> {
  const options = {
    env: { LD_PRELOAD: library, CROFT_MEMORY_BASE: path },
    encoding: 'buffer',
    maxBuffer: 2 ** 25,
  } as const
  return (await run(driver, [bytes, ...operations].map(String), options)).stdout
}

const filled = (content: Iterable<readonly [page: number, byte: number]>): Buffer => {
  const expected = Buffer.alloc(bytes)
  for (const [page, byte] of content) expected.fill(byte, page * pageBytes, (page + 1) * pageBytes)
  return expected
}
const same = (a: Buffer, b: Buffer) => a.equals(b)
const some = [
  [3, 1],
  [chunkPages, 2],
  [chunkPages + 1, 3],
  [pages - 1, 4],
] as const

describe('a mapped base', () => {
  test('is the guest’s memory, in whichever order its chunks are stored', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(fc.nat(pages - 1), fc.nat(255)), { maxLength: 20 }), async (content) => {
        makeBase(content)
        expect(same(await memory(), filled(new Map(content)))).toBe(true)
      }),
      { numRuns: 20 },
    )
  })

  test('is not changed by what the guest writes', async () => {
    makeBase(some)
    const before = readFileSync(path)
    const written = await memory('write', 3, 9, 'write', 4, 8, 'write', 2 * chunkPages, 7)
    expect(same(written, filled([...some, [3, 9], [4, 8], [2 * chunkPages, 7]]))).toBe(true)
    expect(same(readFileSync(path), before)).toBe(true)
  })

  test('of memory that the guest gives back in whole chunks leaves zeroes, and stays whole', async () => {
    makeBase(some)
    const before = readFileSync(path)
    const left = await memory('write', 3, 9, 'discard', 0, 2 * chunkBytes)
    expect(same(left, filled([some[3]]))).toBe(true)
    const again = await memory('discard', 0, chunkBytes, 'write', 5, 6, 'discard', 0, chunkBytes)
    expect(same(again, filled(some.slice(1)))).toBe(true)
    expect(same(readFileSync(path), before)).toBe(true)
  })

  test('gives a small range back as it was', async () => {
    makeBase(some)
    const left = await memory('write', 3, 9, 'write', 4, 9, 'discard', 3 * pageBytes, pageBytes)
    expect(same(left, filled([...some, [4, 9]]))).toBe(true)
  })

  test('is for memory of its size alone', async () => {
    makeBase(some)
    const other = { env: { LD_PRELOAD: library, CROFT_MEMORY_BASE: path }, encoding: 'buffer' } as const
    const { stdout } = await run(driver, [String(chunkBytes)], { ...other, maxBuffer: 2 ** 25 })
    expect(same(stdout, Buffer.alloc(chunkBytes))).toBe(true)
  })
})

describe('a base that can’t be used ends the process before it runs, and says why', () => {
  const refused = async (env: Record<string, string> = { CROFT_MEMORY_BASE: path }) => {
    const failed = await run(driver, [String(bytes)], { env: { LD_PRELOAD: library, ...env } }).catch((error) => error)
    expect(failed).toMatchObject({ code: 1, stdout: '' })
    return failed.stderr as string
  }

  test('missing, a folder, a device, another file', async () => {
    rmSync(path, { force: true })
    expect(await refused()).toBe(`croft: the memory base can't be mapped: ${path}: No such file or directory\n`)
    expect(await refused({ CROFT_MEMORY_BASE: folder })).toContain('it is not a file')
    expect(await refused({ CROFT_MEMORY_BASE: '/dev/zero' })).toContain('it is not a file')
    expect(await refused({ CROFT_MEMORY_BASE: driver })).toContain('it does not begin like one')
    expect(await refused({ CROFT_MEMORY_BASE: 'x'.repeat(5000) })).toContain('File name too long')
  })

  test('or it is what the daemon reads of it: cut short or changed anywhere', { timeout: 60_000 }, async () => {
    makeBase(some)
    const good = readFileSync(path)
    const change = fc.oneof(
      fc.record({ length: fc.nat(good.length - 1) }),
      fc.record({ at: fc.nat(90), byte: fc.nat(255) }),
      fc.record({ bytes: fc.uint8Array({ maxLength: 100 }) }),
    )
    await fc.assert(
      fc.asyncProperty(change, async (how) => {
        const bad = Buffer.from(good.subarray(0, 'length' in how ? how.length : undefined))
        if ('at' in how) bad[how.at] = how.byte
        if ('bytes' in how) bad.set(how.bytes)
        writeFileSync(path, bad)
        const fd = openSync(path, 'r')
        try {
          const reader = new BaseReader(fd)
          if (reader.memoryBytes !== bytes || reader.fileBytes !== bad.length) return
          const found = await memory()
          for (let page = 0; page < pages; page++) {
            const expected = reader.page(page) ?? Buffer.alloc(pageBytes)
            expect(same(found.subarray(page * pageBytes, (page + 1) * pageBytes), expected)).toBe(true)
          }
        } catch (error) {
          if (!(error instanceof RangeError)) throw error
          await refused()
        } finally {
          closeSync(fd)
        }
      }),
      { numRuns: 60 },
    )
  })

  test('no base at all is no error', async () => {
    for (const env of [{}, { CROFT_MEMORY_BASE: '' }])
      await run(driver, [String(chunkBytes)], { env: { LD_PRELOAD: library, ...env }, maxBuffer: 2 ** 25 })
  })
})
