import { type BaseReader, type BaseWriter, pageBytes } from './base-file.ts'

/**
 * A filter for QEMU's migration stream, which contains a guest's main memory as a record for each page. Which records
 * stay is a policy's decision:
 *
 * - `zeroPages`: QEMU writes a record of nine bytes for each page of zeroes that the guest never touched, and reads the
 *   page to load it, so that loading costs what a VM may have and not what it uses. A new QEMU's memory is zeroes, so
 *   these records are redundant.
 * - `differenceFrom`: for memory that is loaded over a mapped memory base (base-file.ts), the records of pages that are
 *   the same in the base are redundant.
 * - `mergedWith`: turns such a difference back into a stream that needs no base.
 * - `extractTo`: moves all pages into a new base.
 *
 * Format: migration/savevm.c and migration/ram.c of QEMU 7.2 to 10. Numbers are big-endian.
 *
 *   "QEVM", u32 version 3
 *   7 configuration: u32 length, that many bytes
 *   1 start: u32 id, u8 length and name, u32 instance, u32 version    sections of memory, `ram`; records follow
 *   2 part, 3 end: u32 id                                             records follow
 *   8 command: u16 which, u16 length, that many bytes
 *   4 full, of a device: nothing from here on is looked at
 *
 * A record begins with u64 page address | flags. Unless the flag 0x20 says that the page belongs to the same block as
 * the one before it, the block's name follows: u8 length, name.
 *
 *   0x02 a page of one byte, that byte follows       0x08 a page, 4096 bytes follow
 *   0x04 all blocks, the address is the sum of their sizes; for each follow u8 length, name, u64 bytes
 *   0x10 the end of this section's records; then 0x7e, u32 id
 */
const magic = 0x5145564d
const version = 3
const section = { start: 1, part: 2, end: 3, full: 4, configuration: 7, command: 8, footer: 0x7e }
const flag = { zero: 0x02, sizes: 0x04, page: 0x08, end: 0x10, same: 0x20 }
/** Seen pages are recorded in chunks, and only for chunks that have any. */
const chunkPages = 512

/** The guest's main memory, as libvirt names it. Other blocks may contain firmware before anything is loaded. */
const mainBlock = 'pc.ram'

export interface Summary {
  /** The numbers of main-memory records that were kept, and of those that were redundant. */
  kept: number
  dropped: number
  /** Why the stream could not be parsed to its end; from that place on, it was copied as it is. */
  unknown?: string
}

/** Decides about the records of main memory. */
export interface PagePolicy {
  /**
   * Called once, when the size of main memory is known and before its first record.
   * @returns pages to insert before all records, with their content, which is used until the next one is taken
   * @throws RangeError when memory of this size is not what the policy is for
   */
  begin?(bytes: number): Iterable<[page: number, content: Buffer]>
  /**
   * Whether a record is left out.
   * @param content undefined for a page of zeroes; used only until this returns
   * @param seen whether an earlier record of the same page was kept or inserted
   */
  drops(page: number, content: Buffer | undefined, seen: boolean): boolean
}

/** Leaves out pages of zeroes that had no record before: loading the rest gives the same memory. */
export const zeroPages: PagePolicy = { drops: (_, content, seen) => content === undefined && !seen }

/** Leaves out pages that are the same in a base: loading the rest over the mapped base gives the same memory. */
export function differenceFrom(base: BaseReader): PagePolicy {
  return {
    begin: (bytes) => checkSize(base, bytes),
    drops: (page, content, seen) => !seen && (content ?? zeroPage).equals(base.page(page) ?? zeroPage),
  }
}

/** Adds the pages of a base to a difference from it: loading the result without the base gives the same memory. */
export function mergedWith(base: BaseReader): PagePolicy {
  return {
    *begin(bytes) {
      checkSize(base, bytes)
      yield* base.pages()
    },
    drops: zeroPages.drops,
  }
}

/**
 * Moves all pages into a new base: loading the rest over it gives the same memory.
 * @param create makes the file for memory of this size
 */
export function extractTo(create: (bytes: number) => BaseWriter): PagePolicy {
  let base: BaseWriter
  return {
    begin(bytes) {
      base = create(bytes)
      return []
    },
    drops(page, content, seen) {
      base.write(page, content)
      return !seen
    },
  }
}

function checkSize(base: BaseReader, bytes: number): [] {
  if (base.memoryBytes !== bytes) throw new RangeError(`a base of ${base.memoryBytes} bytes for memory of ${bytes}`)
  return []
}

const zeroPage = Buffer.alloc(pageBytes)

/**
 * Copies a migration stream without the records that a policy leaves out. Anything that can't be parsed is copied as it
 * is, which is right for any policy once it has begun.
 * @param read returns the next bytes of the stream, undefined at its end; it may return the same buffer each time
 * @param write takes bytes of the copy, which it may use only until it returns
 * @throws Error when the policy has a `begin` and the stream can't be parsed up to there
 */
export function filterStream(
  read: () => Buffer | undefined,
  write: (part: Buffer) => void,
  policy: PagePolicy,
): Summary {
  const input = new Input(read, write)
  const memory = new Memory(input, policy)
  try {
    readSections(input, memory)
    input.copyRest()
    return { kept: memory.kept, dropped: memory.dropped }
  } catch (error) {
    if (!(error instanceof NotUnderstood)) throw error
    if (policy.begin && !memory.begun) throw new Error(`The stream can’t be parsed: ${error.message}.`)
    input.copyRest()
    return { kept: memory.kept, dropped: memory.dropped, unknown: error.message }
  }
}

class NotUnderstood extends Error {}

function readSections(input: Input, memory: Memory): void {
  input.need(8)
  if (input.u32(0) !== magic || input.u32(4) !== version) throw new NotUnderstood('it does not begin like one')
  input.keep(8)
  input.need(5)
  if (input.u8(0) === section.configuration) input.keep(5 + input.u32(1))
  let id: number | undefined
  for (;;) {
    input.need(1)
    switch (input.u8(0)) {
      case section.start: {
        input.need(6)
        const nameBytes = input.u8(5)
        input.need(14 + nameBytes)
        const name = input.text(6, nameBytes)
        if (name !== 'ram' || id !== undefined) throw new NotUnderstood(`it has a section ${JSON.stringify(name)}`)
        id = input.u32(1)
        input.keep(14 + nameBytes)
        memory.readRecords(id)
        break
      }
      case section.part:
      case section.end:
        input.need(5)
        if (input.u32(1) !== id) throw new NotUnderstood('it has a part of another section')
        input.keep(5)
        memory.readRecords(id)
        break
      case section.command:
        input.need(5)
        input.keep(5 + input.u16(3))
        break
      case section.full:
        return
      default:
        throw new NotUnderstood(`it has a section of type ${input.u8(0)}`)
    }
  }
}

interface Block {
  name: string
  bytes: number
  /** Which pages have had a record that was kept: a bit each, by chunk. Undefined for blocks of which all are kept. */
  seen: Map<number, Uint8Array> | undefined
}

/** Parses the memory records. Keeps track of the blocks, of the pages seen, and of the block that 0x20 refers to. */
class Memory {
  kept = 0
  dropped = 0
  begun = false
  readonly #input: Input
  readonly #policy: PagePolicy
  readonly #blocks = new Map<string, Block>()
  /** The block of the last record read, and of the last one written. */
  #block: Block | undefined
  #written: Block | undefined
  /** The last record that was dropped: its page's address and content. */
  #droppedAt = 0
  #droppedIsZero = true
  readonly #droppedContent = Buffer.alloc(pageBytes)

  constructor(input: Input, policy: PagePolicy) {
    this.#input = input
    this.#policy = policy
  }

  /** Reads the records of one section and its end. @throws NotUnderstood at the beginning of a record or section */
  readRecords(id: number): void {
    const input = this.#input
    try {
      while (this.#readRecord());
    } catch (error) {
      this.#nameBlock()
      throw error
    }
    this.#nameBlock()
    input.keep(8)
    if (!input.has(1) || input.u8(0) !== section.footer) return
    input.need(5)
    if (input.u32(1) !== id) throw new NotUnderstood('a section ends as another')
    input.keep(5)
  }

  /** Reads one record. @returns false at the end of the records, which is not consumed */
  #readRecord(): boolean {
    const input = this.#input
    input.need(8)
    const low = input.u32(4)
    const flags = low & (pageBytes - 1)
    if (flags === flag.end) return false
    const address = input.u32(0) * 2 ** 32 + (low - flags)
    if (flags === flag.sizes) {
      this.#readSizes(address)
      return true
    }
    const isSame = (flags & flag.same) !== 0
    const kind = flags & ~flag.same
    if (kind !== flag.zero && kind !== flag.page)
      throw new NotUnderstood(`it has a record of type 0x${kind.toString(16)}`)
    let headBytes = 8
    let block = this.#block
    if (!isSame) {
      input.need(9)
      headBytes = 9 + input.u8(8)
      input.need(headBytes)
      block = this.#blocks.get(input.text(9, headBytes - 9))
    }
    if (!block || address + pageBytes > block.bytes) throw new NotUnderstood('it has a page that is nowhere')
    const bodyBytes = kind === flag.zero ? 1 : pageBytes
    input.need(headBytes + bodyBytes)
    this.#block = block
    const page = address / pageBytes
    if (block.seen) {
      const content =
        kind === flag.page
          ? input.bytes(headBytes, pageBytes)
          : input.u8(headBytes) === 0
            ? undefined
            : Buffer.alloc(pageBytes, input.u8(headBytes))
      if (this.#policy.drops(page, content, hasSeen(block.seen, page))) {
        this.dropped++
        this.#droppedAt = address
        this.#droppedIsZero = content === undefined
        content?.copy(this.#droppedContent)
        input.drop(headBytes + bodyBytes)
        return true
      }
      see(block.seen, page)
      this.kept++
    }
    if (isSame && this.#written !== block) {
      input.drop(headBytes)
      input.insert(head(address, kind, block.name))
      headBytes = 0
    }
    this.#written = block
    input.keep(headBytes + bodyBytes)
    return true
  }

  #readSizes(sum: number): void {
    const input = this.#input
    let at = 8
    for (let left = sum; left > 0; ) {
      input.need(at + 1)
      const nameBytes = input.u8(at)
      input.need(at + 1 + nameBytes + 8)
      const name = input.text(at + 1, nameBytes)
      at += 1 + nameBytes
      const bytes = input.u32(at) * 2 ** 32 + input.u32(at + 4)
      at += 8
      if (bytes === 0 || bytes > left) throw new NotUnderstood('its blocks do not add up')
      this.#blocks.set(name, { name, bytes, seen: name === mainBlock ? new Map() : undefined })
      left -= bytes
    }
    input.keep(at)
    const main = this.#blocks.get(mainBlock)
    if (main) this.#begin(main)
  }

  /** Lets the policy begin, and inserts its pages. */
  #begin(block: Block): void {
    this.begun = true
    for (const [page, content] of this.#policy.begin?.(block.bytes) ?? []) {
      const address = page * pageBytes
      const isSame = this.#written === block
      const start = isSame ? u64(address, flag.page + flag.same) : head(address, flag.page, block.name)
      this.#input.insert(Buffer.concat([start, content]))
      see(block.seen!, page)
      this.kept++
      this.#written = block
    }
  }

  /** Makes the next record belong to the right block for its reader, whatever was dropped before it. */
  #nameBlock(): void {
    if (!this.#block || this.#written === this.#block) return
    // Repeating the record that was dropped last changes nothing.
    const [kind, content] = this.#droppedIsZero ? [flag.zero, Buffer.alloc(1)] : [flag.page, this.#droppedContent]
    this.#input.insert(Buffer.concat([head(this.#droppedAt, kind, this.#block.name), content]))
    if (this.#block.seen) see(this.#block.seen, this.#droppedAt / pageBytes)
    this.#written = this.#block
  }
}

/** Returns the beginning of a record, with the name of its block. */
function head(address: number, kind: number, name: string): Buffer {
  return Buffer.concat([u64(address, kind), Buffer.from([name.length]), Buffer.from(name, 'latin1')])
}

function u64(address: number, flags: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeUInt32BE(Math.floor(address / 2 ** 32), 0)
  bytes.writeUInt32BE((address % 2 ** 32) + flags, 4)
  return bytes
}

function hasSeen(seen: Map<number, Uint8Array>, page: number): boolean {
  const bits = seen.get(Math.floor(page / chunkPages))
  return bits !== undefined && (bits[(page % chunkPages) >> 3]! & (1 << (page & 7))) !== 0
}

function see(seen: Map<number, Uint8Array>, page: number): void {
  const chunk = Math.floor(page / chunkPages)
  let bits = seen.get(chunk)
  if (!bits) {
    bits = new Uint8Array(chunkPages / 8)
    seen.set(chunk, bits)
  }
  bits[(page % chunkPages) >> 3]! |= 1 << (page & 7)
}

/** Reads bytes that come in parts of any size. Each byte is kept or dropped; kept ones are written in long parts. */
class Input {
  readonly #read: () => Buffer | undefined
  readonly #write: (part: Buffer) => void
  #data: Buffer = Buffer.alloc(0)
  /**
   * The positions of the first byte that is neither kept nor dropped, and of the first one kept but not yet written.
   */
  #at = 0
  #from = 0

  constructor(read: () => Buffer | undefined, write: (part: Buffer) => void) {
    this.#read = read
    this.#write = write
  }

  /** Whether there are this many more bytes. */
  has(bytes: number): boolean {
    while (this.#data.length - this.#at < bytes) {
      this.#flush()
      const rest = Buffer.from(this.#data.subarray(this.#at))
      const more = this.#read()
      this.#data = more ? (rest.length ? Buffer.concat([rest, more]) : more) : rest
      this.#at = this.#from = 0
      if (!more) return false
    }
    return true
  }

  /** @throws NotUnderstood when there are fewer bytes left */
  need(bytes: number): void {
    if (this.#data.length - this.#at < bytes && !this.has(bytes)) throw new NotUnderstood('it is cut short')
  }

  u8(offset: number): number {
    return this.#data[this.#at + offset]!
  }

  u16(offset: number): number {
    return this.#data.readUInt16BE(this.#at + offset)
  }

  u32(offset: number): number {
    return this.#data.readUInt32BE(this.#at + offset)
  }

  /** A view of bytes, until the next ones are read. */
  bytes(offset: number, length: number): Buffer {
    return this.#data.subarray(this.#at + offset, this.#at + offset + length)
  }

  text(offset: number, length: number): string {
    return this.#data.toString('latin1', this.#at + offset, this.#at + offset + length)
  }

  keep(bytes: number): void {
    this.need(bytes)
    this.#at += bytes
  }

  /** Drops bytes, which must have been read. */
  drop(bytes: number): void {
    if (this.#at > this.#from) this.#flush()
    this.#at += bytes
    this.#from = this.#at
  }

  /** Writes bytes of our own at this place. */
  insert(bytes: Buffer): void {
    this.#flush()
    this.#write(bytes)
  }

  copyRest(): void {
    this.#at = this.#data.length
    this.#flush()
    for (let more = this.#read(); more; more = this.#read()) this.#write(more)
  }

  #flush(): void {
    if (this.#at > this.#from) this.#write(this.#data.subarray(this.#from, this.#at))
    this.#from = this.#at
  }
}
