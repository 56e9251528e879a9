import { createHash } from 'node:crypto'
import { closeSync, fstatSync, openSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import { BaseReader, BaseWriter } from './base-file.ts'
import {
  differenceFrom,
  extractTo,
  filterStream,
  mergedWith,
  type PagePolicy,
  type Summary,
  zeroPages,
} from './stream-filter.ts'

const pageBytes = 4096
/** The blocks of a small machine. The firmware's is not zero before anything is loaded. */
const blocks = { 'pc.ram': 40, 'vga.vram': 4, firmware: 3 }
type Name = keyof typeof blocks
interface Page {
  block: Name
  page: number
  value: number
}

const u32 = (...values: number[]) =>
  Buffer.concat(values.map((value) => Buffer.from([value >>> 24, value >>> 16, value >>> 8, value])))
const u64 = (value: number) => u32(Math.floor(value / 2 ** 32), value % 2 ** 32)
const text = (name: string) => Buffer.from([name.length, ...Buffer.from(name)])
const sum = (numbers: Iterable<number>) => [...numbers].reduce((a, b) => a + b, 0)

const start = (name = 'ram', id = 3) => Buffer.concat([Buffer.from([1]), u32(id), text(name), u32(0), u32(4)])
const part = (type: number, id = 3) => Buffer.concat([Buffer.from([type]), u32(id)])
const end = Buffer.concat([u64(0x10), Buffer.from([0x7e]), u32(3)])
const sizes = Buffer.concat([
  u64(sum(Object.values(blocks)) * pageBytes + 0x04),
  ...Object.entries(blocks).flatMap(([name, pages]) => [text(name), u64(pages * pageBytes)]),
])
const beginning = Buffer.concat([Buffer.from('QEVM'), u32(3), Buffer.from([7]), u32(12), Buffer.from('pc-q35-7.2\0\0')])
const devices = Buffer.concat([
  Buffer.from([4]),
  u32(7),
  Buffer.from('the state of devices, and \x10\x7e what looks like more'),
])

/** Writes records as QEMU does: with a name only when the block changes, and one byte for a page of zeroes. */
function writer() {
  let last: Name | undefined
  return ({ block, page, value }: Page): Buffer => {
    const same = last === block
    last = block
    const kind = (value === 0 ? 0x02 : 0x08) | (same ? 0x20 : 0)
    const body = Buffer.alloc(value === 0 ? 1 : pageBytes, value)
    return Buffer.concat([u64(page * pageBytes + kind), same ? Buffer.alloc(0) : text(block), body])
  }
}

/** Returns a whole stream, with a section for each list of pages. */
function streamOf(sections: readonly (readonly Page[])[], after = devices): Buffer {
  const write = writer()
  const parts = sections.flatMap((pages, i) => [
    i === 0 ? Buffer.concat([start(), sizes]) : part(i === sections.length - 1 ? 3 : 2),
    ...pages.map(write),
    end,
  ])
  return Buffer.concat([beginning, ...parts, after])
}

/**
 * Returns what QEMU has in memory after it has loaded a stream, and how many bytes before the end it stopped: at the
 * devices, or where it could not go on. It is independent of the code that it tests: it follows the loader, not the
 * saver.
 * @param base what main memory is before
 */
function load(
  stream: Buffer,
  base: Buffer = Buffer.alloc(0),
): { memory: Record<Name, Buffer>; records: Page[]; left: number } {
  const memory = Object.fromEntries(
    Object.entries(blocks).map(([name, pages]) => [
      name,
      Buffer.alloc(pages * pageBytes, name === 'firmware' ? 0xf5 : 0),
    ]),
  ) as Record<Name, Buffer>
  base.copy(memory['pc.ram'])
  const records: Page[] = []
  let at = 8 + 5 + stream.readUInt32BE(9)
  let current: Name | undefined
  try {
    for (;;) {
      const type = stream.readUInt8(at)
      if (type === 1) at += 6 + stream.readUInt8(at + 5) + 8
      else if (type === 2 || type === 3) at += 5
      else break
      for (;;) {
        const low = stream.readUInt32BE(at + 4)
        const flags = low & 0xfff
        const address = stream.readUInt32BE(at) * 2 ** 32 + low - flags
        if (flags === 0x10) {
          at += 8 + 5
          break
        }
        if (flags === 0x04) {
          at += sizes.length
          continue
        }
        let body = at + 8
        let name = current
        if (!(flags & 0x20)) {
          const length = stream.readUInt8(body)
          name = stream.toString('latin1', body + 1, body + 1 + length) as Name
          body += 1 + length
        }
        const kind = flags & ~0x20
        if (!name || !memory[name] || (kind !== 0x02 && kind !== 0x08)) throw new RangeError('unknown')
        if (address + pageBytes > memory[name].length) throw new RangeError('nowhere')
        const length = kind === 0x02 ? 1 : pageBytes
        if (body + length > stream.length) throw new RangeError('short')
        const value = stream.readUInt8(body)
        memory[name].fill(value, address, address + pageBytes)
        records.push({ block: name, page: address / pageBytes, value })
        current = name
        at = body + length
      }
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
  }
  return { memory, records, left: stream.length - at }
}

/** Digests a loader's memory, because `toEqual` is slow for long buffers. */
const digest = ({ memory }: { memory: Record<Name, Buffer> }) =>
  Object.values(memory)
    .reduce((hash, bytes) => hash.update(bytes), createHash('sha256'))
    .digest('hex')

/** @param chunk how many bytes are read at a time @returns the copy, and the summary */
function strip(stream: Buffer, chunk = 1000, policy: PagePolicy = zeroPages): { copy: Buffer; summary: Summary } {
  const parts: Buffer[] = []
  const shared = Buffer.alloc(chunk)
  let at = 0
  const read = () => {
    const bytes = stream.copy(shared, 0, at, at + chunk)
    at += bytes
    return bytes ? shared.subarray(0, bytes) : undefined
  }
  const summary = filterStream(read, (bytes) => void parts.push(Buffer.from(bytes)), policy)
  return { copy: Buffer.concat(parts), summary }
}

const page = fc
  .constantFrom(...(Object.keys(blocks) as Name[]), 'pc.ram' as const, 'pc.ram' as const)
  .chain((block) =>
    fc.record({ block: fc.constant(block), page: fc.nat(blocks[block] - 1), value: fc.constantFrom(0, 0, 0, 1, 255) }),
  )
const sections = fc.array(fc.array(page, { maxLength: 60 }), { minLength: 1, maxLength: 4 })
const chunks = fc.integer({ min: 1, max: 9000 })

describe('a migration stream without its pages of zeroes', () => {
  test('loads the same memory, whatever was sent, how often and in which order', () => {
    fc.assert(
      fc.property(sections, chunks, (pages, chunk) => {
        const stream = streamOf(pages)
        const { copy, summary } = strip(stream, chunk)
        const [before, after] = [load(stream), load(copy)]
        expect(digest(after)).toBe(digest(before))
        expect(summary.unknown).toBeUndefined()
        expect([before.left, after.left]).toEqual([devices.length, devices.length])
        expect(copy.subarray(-devices.length)).toEqual(devices)
        const records = before.records.filter(({ block }) => block === 'pc.ram').length
        expect(summary.kept + summary.dropped).toBe(records)
      }),
      { numRuns: 200 },
    )
  })

  test('has no redundant record, except one per section that names a block', () => {
    fc.assert(
      fc.property(sections, (pages) => {
        const { copy } = strip(streamOf(pages))
        const seen = new Set<number>()
        const idle = load(copy).records.filter(({ block, page, value }) => {
          if (block !== 'pc.ram') return false
          const says = value !== 0 || seen.has(page)
          seen.add(page)
          return !says
        })
        expect(idle.length).toBeLessThanOrEqual(pages.length)
      }),
    )
  })

  test('keeps a page of zeroes that was sent with other content before, and all pages of other blocks', () => {
    const pages: Page[] = [
      { block: 'pc.ram', page: 1, value: 0 },
      { block: 'pc.ram', page: 2, value: 7 },
      { block: 'firmware', page: 1, value: 0 },
      { block: 'pc.ram', page: 2, value: 0 },
      { block: 'pc.ram', page: 3, value: 0 },
      { block: 'pc.ram', page: 4, value: 9 },
    ]
    const { copy, summary } = strip(streamOf([pages]))
    expect(load(copy).records).toEqual([pages[1], pages[2], pages[3], pages[5]])
    expect(summary).toEqual({ kept: 3, dropped: 2 })
  })

  test('is the same when it is copied again', () => {
    fc.assert(
      fc.property(sections, (pages) => {
        const { copy } = strip(streamOf(pages))
        expect(digest(load(strip(copy).copy))).toBe(digest(load(copy)))
      }),
    )
  })

  test('of a huge machine costs only as much as it contains', () => {
    const far = 2 ** 40
    const big = Buffer.concat([beginning, start(), u64(far + 0x04), text('pc.ram'), u64(far)])
    const write = (at: number, value: number) =>
      Buffer.concat([u64(at + (value ? 0x08 : 0x02)), text('pc.ram'), Buffer.alloc(value ? pageBytes : 1, value)])
    const last = far - pageBytes
    const kept = [write(last, 5), write(last, 0), end, devices]
    const { copy, summary } = strip(Buffer.concat([big, write(2 ** 33, 0), ...kept]))
    expect(summary).toEqual({ kept: 2, dropped: 1 })
    expect(copy.subarray(-Buffer.concat(kept).length)).toEqual(Buffer.concat(kept))
  })
})

describe('a memory base', () => {
  const path = join(tmpdir(), `croft-base-${process.pid}`)
  afterEach(() => rmSync(path, { force: true }))
  const ramPages = blocks['pc.ram']

  /** Makes a base of a stream. @returns what is left of the stream, and the base's memory as a map of it would be */
  function extract(stream: Buffer): { rest: Buffer; memory: Buffer; reader: BaseReader; summary: Summary } {
    rmSync(path, { force: true })
    const fd = openSync(path, 'wx+')
    let writer: BaseWriter | undefined
    const create = (bytes: number) => {
      writer = new BaseWriter(fd, bytes)
      return writer
    }
    const { copy: rest, summary } = strip(stream, 1000, extractTo(create))
    writer!.finish()
    const reader = new BaseReader(fd)
    expect(fstatSync(fd).size).toBe(reader.fileBytes)
    const memory = Buffer.concat(
      Array.from({ length: ramPages }, (_, i) => Buffer.from(reader.page(i) ?? Buffer.alloc(pageBytes))),
    )
    return { rest, memory, reader, summary }
  }

  test('and what is left of the stream give the same memory, together and merged again', () => {
    fc.assert(
      fc.property(sections, (pages) => {
        const stream = streamOf(pages)
        const { rest, memory, reader, summary } = extract(stream)
        // At most the pages of the records that name a block for the next section.
        const left = load(rest).records.flatMap(({ block, page }) => (block === 'pc.ram' ? [page] : []))
        expect(new Set(left).size).toBeLessThanOrEqual(pages.length)
        expect(summary.unknown).toBeUndefined()
        expect(digest(load(rest, memory))).toBe(digest(load(stream)))
        const { copy: merged } = strip(rest, 1000, mergedWith(reader))
        expect(digest(load(merged))).toBe(digest(load(stream)))
        expect(load(merged).left).toBe(devices.length)
      }),
      { numRuns: 100 },
    )
  })

  test('and the difference of other memory give that memory, and the difference has no page that is the same', () => {
    fc.assert(
      fc.property(sections, sections, chunks, (first, second, chunk) => {
        const { memory, reader } = extract(streamOf(first))
        const stream = streamOf(second)
        const { copy, summary } = strip(stream, chunk, differenceFrom(reader))
        expect(digest(load(copy, memory))).toBe(digest(load(stream, memory)))
        expect(summary.unknown).toBeUndefined()
        // What QEMU saves has a record for each page: then the base changes nothing.
        const whole = Array.from({ length: ramPages }, (_, i): Page => ({ block: 'pc.ram', page: i, value: 0 }))
        const saved = streamOf([whole, ...second])
        const { copy: difference } = strip(saved, chunk, differenceFrom(reader))
        expect(digest(load(difference, memory))).toBe(digest(load(saved)))
        const { copy: merged } = strip(difference, chunk, mergedWith(reader))
        expect(digest(load(merged))).toBe(digest(load(saved)))
        const written = new Set<number>()
        const idle = load(difference).records.filter(({ block, page, value }) => {
          if (block !== 'pc.ram' || written.has(page)) return false
          written.add(page)
          return memory[page * pageBytes] === value
        })
        // At most the records that name a block for the next section.
        expect(idle.length).toBeLessThanOrEqual(second.length + 1)
      }),
      { numRuns: 100 },
    )
  })

  test('of memory of another size is refused', () => {
    const { reader } = extract(streamOf([[]]))
    const other = Buffer.concat([beginning, start(), u64(2 ** 20 + 0x04), text('pc.ram'), u64(2 ** 20), end, devices])
    for (const policy of [differenceFrom(reader), mergedWith(reader)])
      expect(() => strip(other, 1000, policy)).toThrow(RangeError)
  })

  test('is not merged with a stream that can’t be parsed: its pages would be missing', () => {
    const { reader } = extract(streamOf([[]]))
    for (const policy of [differenceFrom(reader), mergedWith(reader)])
      expect(() => strip(Buffer.from('something else'), 1000, policy)).toThrow('The stream can’t be parsed')
  })

  test('that is cut short or not a base is refused', () => {
    const { reader } = extract(streamOf([[{ block: 'pc.ram', page: 3, value: 1 }]]))
    expect(reader.fileBytes).toBe(2 ** 21 + 4096)
    const fd = openSync(join(import.meta.dirname, 'base-file.ts'), 'r')
    expect(() => new BaseReader(fd)).toThrow('does not begin like a memory base')
    closeSync(fd)
  })
})

describe('a stream that can’t be parsed', () => {
  const some: Page[] = [
    { block: 'firmware', page: 0, value: 3 },
    { block: 'pc.ram', page: 0, value: 0 },
    { block: 'pc.ram', page: 5, value: 0 },
  ]

  test('from its first byte on is copied as it is', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), chunks, (bytes, chunk) => {
        const { copy, summary } = strip(Buffer.from(bytes), chunk)
        expect(copy).toEqual(Buffer.from(bytes))
        expect(summary.unknown).toBeDefined()
      }),
    )
  })

  test('or is cut short at any byte gives a loader the same memory, and stops it at the same place', () => {
    const whole = streamOf([some, [...some, { block: 'pc.ram', page: 6, value: 8 }]])
    const most = whole.length - devices.length - 1
    fc.assert(
      fc.property(fc.integer({ min: beginning.length, max: most }), chunks, (length, chunk) => {
        const cut = whole.subarray(0, length)
        const { copy, summary } = strip(cut, chunk)
        expect(summary.unknown).toBe('it is cut short')
        const [before, after] = [load(cut), load(copy)]
        expect(digest(after)).toBe(digest(before))
        const [stopped, stops] = [cut.subarray(length - before.left), copy.subarray(copy.length - after.left)]
        expect(stops.equals(stopped)).toBe(true)
      }),
    )
  })

  test('with a changed bit anywhere gives a loader the same memory', () => {
    const whole = streamOf([some, [{ block: 'pc.ram', page: 6, value: 8 }, ...some], some])
    fc.assert(
      fc.property(
        fc.integer({ min: beginning.length + start().length + sizes.length, max: whole.length - devices.length - 1 }),
        fc.nat(7),
        (at, bit) => {
          const damaged = Buffer.from(whole)
          damaged[at]! ^= 1 << bit
          const { copy } = strip(damaged)
          const [before, after] = [load(damaged), load(copy)]
          expect(digest(after)).toBe(digest(before))
        },
      ),
      { numRuns: 500 },
    )
  })

  test.each([
    [
      'of an unknown kind, in the same block as the one before it',
      Buffer.concat([u64(7 * pageBytes + 0x60), Buffer.alloc(9, 1)]),
    ],
    ['of an unknown block', Buffer.concat([u64(0x02), text('other'), Buffer.alloc(1)])],
    ['beyond its block', Buffer.concat([u64(4000 * pageBytes + 0x22), Buffer.alloc(1)])],
  ])('from a record %s on: its reader knows the block of the records that follow', (_, odd) => {
    const write = writer()
    const same = [{ block: 'firmware', page: 0, value: 3 } as const, { block: 'pc.ram', page: 5, value: 0 } as const]
    const rest = Buffer.concat([odd, u64(9 * pageBytes + 0x28), Buffer.alloc(pageBytes, 4), end, devices])
    const stream = Buffer.concat([beginning, start(), sizes, ...same.map(write), rest])
    const { copy, summary } = strip(stream)
    expect(summary.unknown).toMatch(/^it has a (record|page)/)
    expect(copy.subarray(-rest.length)).toEqual(rest)
    const known = copy.subarray(0, copy.length - rest.length)
    // The last record read before it still belongs to main memory.
    expect(load(known).records.at(-1)).toEqual(same[1])
  })

  test('from the end of a section on: its reader knows the block of the records that follow', () => {
    const write = writer()
    const same = [{ block: 'firmware', page: 0, value: 3 } as const, { block: 'pc.ram', page: 5, value: 0 } as const]
    const unknown = Buffer.from([9, 1, 2, 3])
    const { copy } = strip(Buffer.concat([beginning, start(), sizes, ...same.map(write), end, unknown]))
    expect(load(copy).records).toEqual(same)
  })

  test.each([
    ['another section first', start('slirp'), 'it has a section "slirp"'],
    ['a section of an unknown type', Buffer.from([9, 1, 2, 3]), 'it has a section of type 9'],
    ['a subsection of its configuration', Buffer.from([5, 1, 2, 3]), 'it has a section of type 5'],
    ['a part of a section that never began', part(2, 8), 'it has a part of another section'],
  ])('with %s says so', (_, bytes, unknown) => {
    const stream = Buffer.concat([beginning, bytes, devices])
    expect(strip(stream)).toEqual({ copy: stream, summary: { kept: 0, dropped: 0, unknown } })
  })

  test('is not one that has commands between its sections, or no footers', () => {
    const write = writer()
    const command = Buffer.concat([Buffer.from([8, 0, 12, 0, 3]), Buffer.from('abc')])
    const stream = Buffer.concat([
      beginning,
      start(),
      sizes,
      ...some.map(write),
      u64(0x10),
      command,
      part(3),
      end,
      devices,
    ])
    const { copy, summary } = strip(stream)
    expect(summary).toEqual({ kept: 0, dropped: 2 })
    expect(copy.subarray(-command.length - 5 - end.length - devices.length)).toEqual(
      Buffer.concat([command, part(3), end, devices]),
    )
  })
})
