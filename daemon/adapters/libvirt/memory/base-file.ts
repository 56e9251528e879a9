import { createHash } from 'node:crypto'
import { ftruncateSync, readSync, writeSync } from 'node:fs'

/**
 * A memory base: the content of a guest's main memory, in a file that QEMUs map privately, so that forks of one
 * checkpoint share the pages that they don't write. map-base.c maps it.
 *
 * Memory is stored in chunks of 2 MiB, the size of a huge page: memory between them stays ordinary memory. A chunk of
 * zeroes is not stored. Format, Croft's own; numbers are little-endian:
 *
 *    0  16      magic "CroftMemoryBase1"
 *   16   8      n, bytes of the guest's memory
 *   24   4      number of stored chunks
 *   28   4      0
 *   32  32      SHA-256 of all that follows
 *   64   4 × c  for each of the c = ⌈n / 2 MiB⌉ chunks of memory: 0 for zeroes, or 1 + its position among the stored ones
 *               zeroes, up to a multiple of 4096; then the stored chunks, 2 MiB each
 */
export const pageBytes = 4096
export const chunkBytes = 2 ** 21
const chunkPages = chunkBytes / pageBytes
const magic = Buffer.from('CroftMemoryBase1')
const digestAt = 32
/** Where the digested part begins. */
export const tableAt = 64
/** 16 TiB, as in map-base.c. */
const mostBytes = 2 ** 44

/** Offset of the first stored chunk in the file, in bytes. */
const dataOffset = (chunks: number): number => Math.ceil((tableAt + 4 * chunks) / pageBytes) * pageBytes

/** Reads a base. */
export class BaseReader {
  readonly memoryBytes: number
  /** How large the file must be. */
  readonly fileBytes: number
  /** How much of the guest's memory is stored. */
  readonly storedBytes: number
  /** SHA-256 of the file from `tableAt` on, in hex: what it must be. */
  readonly sha256: string
  readonly #fd: number
  readonly #slots: readonly number[]
  readonly #data: number
  /** The chunk that was read last: pages are mostly asked for in their order. */
  #chunk = -1
  readonly #content = Buffer.allocUnsafe(chunkBytes)

  /** @param fd of a base, which stays the caller's @throws RangeError for anything that is not a base */
  constructor(fd: number) {
    this.#fd = fd
    const head = Buffer.alloc(tableAt)
    if (readSync(fd, head, 0, tableAt, 0) < tableAt || !head.subarray(0, 16).equals(magic))
      throw new RangeError('the file does not begin like a memory base')
    this.memoryBytes = Number(head.readBigUInt64LE(16))
    this.sha256 = head.toString('hex', digestAt, tableAt)
    const stored = head.readUInt32LE(24)
    const chunks = Math.ceil(this.memoryBytes / chunkBytes)
    if (this.memoryBytes > mostBytes || stored > chunks) throw new RangeError('the sizes in its header make no sense')
    const table = Buffer.alloc(4 * chunks)
    if (readSync(fd, table, 0, table.length, tableAt) < table.length) throw new RangeError('the file is cut short')
    this.#slots = Array.from({ length: chunks }, (_, i) => table.readUInt32LE(4 * i))
    if (this.#slots.some((slot) => slot > stored)) throw new RangeError('its table names a chunk that is not there')
    const missing = this.#slots.at(-1) ? chunks * chunkBytes - this.memoryBytes : 0
    this.storedBytes = this.#slots.filter((slot) => slot > 0).length * chunkBytes - missing
    this.#data = dataOffset(chunks)
    this.fileBytes = this.#data + stored * chunkBytes
  }

  /** Returns a page's content, used until the next call; undefined for a page of a chunk of zeroes. */
  page(page: number): Buffer | undefined {
    const chunk = Math.floor(page / chunkPages)
    const slot = this.#slots[chunk]
    if (!slot) return undefined
    if (chunk !== this.#chunk) {
      readFully(this.#fd, this.#content, this.#data + (slot - 1) * chunkBytes)
      this.#chunk = chunk
    }
    const at = (page % chunkPages) * pageBytes
    return this.#content.subarray(at, at + pageBytes)
  }

  /** All pages that are not zeroes, in their order; each is used until the next one is taken. */
  *pages(): Iterable<[page: number, content: Buffer]> {
    for (const [chunk, slot] of this.#slots.entries()) {
      if (!slot) continue
      for (let page = chunk * chunkPages; page < (chunk + 1) * chunkPages; page++) {
        const content = this.page(page)!
        if (!content.equals(zeroPage)) yield [page, content]
      }
    }
  }
}

const zeroPage = Buffer.alloc(pageBytes)
const zeroChunk = Buffer.alloc(chunkBytes)

/** Writes a base, page by page in any order. */
export class BaseWriter {
  readonly #fd: number
  readonly #memoryBytes: number
  readonly #slots: Uint32Array
  #stored = 0

  /** @param fd of an empty file, which stays the caller's @param memoryBytes of the guest */
  constructor(fd: number, memoryBytes: number) {
    if (memoryBytes > mostBytes) throw new RangeError(`no guest has ${memoryBytes} bytes of memory`)
    this.#fd = fd
    this.#memoryBytes = memoryBytes
    this.#slots = new Uint32Array(Math.ceil(memoryBytes / chunkBytes))
  }

  /** @param content undefined for zeroes */
  write(page: number, content: Buffer | undefined): void {
    const chunk = Math.floor(page / chunkPages)
    if (!this.#slots[chunk]) {
      if (!content) return
      this.#slots[chunk] = ++this.#stored
      // Without holes: on some file systems, such as tmpfs, reading a hole of a mapped file takes room, and a QEMU that
      // reads one is ended when the disk is full.
      writeFully(this.#fd, zeroChunk, this.#at(this.#stored))
    }
    writeFully(this.#fd, content ?? zeroPage, this.#at(this.#slots[chunk]!) + (page % chunkPages) * pageBytes)
  }

  /** Writes the beginning of the file, and gives it its full size. Until then it is not a base. */
  finish(): void {
    const head = Buffer.alloc(tableAt + 4 * this.#slots.length)
    magic.copy(head)
    head.writeBigUInt64LE(BigInt(this.#memoryBytes), 16)
    head.writeUInt32LE(this.#stored, 24)
    for (const [i, slot] of this.#slots.entries()) head.writeUInt32LE(slot, tableAt + 4 * i)
    const bytes = this.#at(this.#stored + 1)
    // A base of nothing but zeroes has no chunk, and its table is padded.
    ftruncateSync(this.#fd, bytes)
    writeFully(this.#fd, head, 0)
    writeFully(this.#fd, digestOf(this.#fd, bytes), digestAt)
  }

  #at(slot: number): number {
    return dataOffset(this.#slots.length) + (slot - 1) * chunkBytes
  }
}

function digestOf(fd: number, bytes: number): Buffer {
  const hash = createHash('sha256')
  const part = Buffer.allocUnsafe(2 ** 20)
  for (let at = tableAt; at < bytes; at += part.length) {
    const piece = part.subarray(0, Math.min(part.length, bytes - at))
    readFully(fd, piece, at)
    hash.update(piece)
  }
  return hash.digest()
}

function readFully(fd: number, into: Buffer, position: number): void {
  for (let at = 0; at < into.length; ) {
    const bytes = readSync(fd, into, at, into.length - at, position + at)
    if (bytes === 0) throw new RangeError('the file is cut short')
    at += bytes
  }
}

function writeFully(fd: number, bytes: Buffer, position: number): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at, bytes.length - at, position + at)
}
