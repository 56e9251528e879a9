import { CroftError } from '../../../lib/error.ts'

/**
 * libvirt's save image, which `virDomainSave` and external memory snapshots write: a header, the domain's XML and a
 * cookie of libvirt's own, then the QEMU migration stream.
 * Format: src/qemu/qemu_saveimage.h of libvirt, `struct _virQEMUSaveHeader`, little-endian:
 *
 *   0  16  magic "LibvirtQemudSave"; "LibvirtQemudPart" while it is being written
 *  16   4  version, 2
 *  20   4  length of the data between this header and the stream: XML, NUL, cookie, NUL, zeroes
 *  24   4  1 if the domain was running when it was saved
 *  28   4  format of the stream: 0 is as QEMU wrote it, 5 is compressed by zstd; Croft uses no others
 *  32   4  offset of the cookie from the end of this header; 0 for no cookie
 *  36  56  unused: zeroes; Croft writes 1 at 36 when it has removed the pages of zeroes from the stream
 *          (stream-filter.ts), and at 40 the id of the memory base that the stream is a difference from
 */
export interface SaveImageHeader {
  xml: string
  /** Data that libvirt needs again, e.g. the CPU that the guest saw; `null` for none. */
  cookie: string | null
  running: boolean
}

export interface SaveImage extends SaveImageHeader {
  /** Offset of the QEMU migration stream in the file, in bytes. */
  streamOffset: number
  format: Format
  /** Whether the stream may still have records of pages of zeroes, which cost time and memory to load. */
  hasZeroPages: boolean
  /** The id of the memory base that the stream is a difference from; null when it needs none. */
  base: string | null
}

/** How the stream is stored: as QEMU wrote it, or compressed. */
export type Format = keyof typeof formats
const formats = { raw: 0, zstd: 5 } as const
const formatAt = 28
const strippedAt = 36
const baseAt = 40
const mostBaseBytes = 32

export const headerBytes = 92
const magic = Buffer.from('LibvirtQemudSave')
const partial = Buffer.from('LibvirtQemudPart')
const version = 2
/** Far more than any domain's XML: a greater length is not plausible. */
const mostBytes = 16 * 2 ** 20

/**
 * Reads the part of a save image before its stream.
 * @param read returns `length` bytes from `offset` on, or fewer at the end of the file
 * @throws CroftError `memory-unusable`: unknown, unfinished, damaged or cut short
 */
export async function readSaveImage(read: (offset: number, length: number) => Promise<Buffer>): Promise<SaveImage> {
  const header = await read(0, headerBytes)
  if (header.length < headerBytes) throw unusable('it is cut short')
  if (header.subarray(0, 16).equals(partial)) throw unusable('it was never finished')
  if (!header.subarray(0, 16).equals(magic)) throw unusable('it does not begin like a save image')
  const found = header.readUInt32LE(16)
  if (found !== version) throw unusable(`its version is ${found}, and Croft knows ${version}`)
  const length = header.readUInt32LE(20)
  const number = header.readUInt32LE(formatAt)
  const format = (Object.keys(formats) as Format[]).find((each) => formats[each] === number)
  const cookieAt = header.readUInt32LE(32)
  if (!format) throw unusable(`its stream is in format ${number}, and Croft knows 0 (uncompressed) and 5 (zstd)`)
  if (length === 0 || length > mostBytes || cookieAt >= length) throw unusable('its lengths make no sense')
  const data = await read(headerBytes, length)
  if (data.length < length) throw unusable('it is cut short')
  return {
    xml: string(data.subarray(0, cookieAt || length)),
    cookie: cookieAt ? string(data.subarray(cookieAt)) : null,
    running: header.readUInt32LE(24) !== 0,
    streamOffset: headerBytes + length,
    format,
    hasZeroPages: header.readUInt32LE(strippedAt) !== 1,
    base: header.toString('latin1', baseAt, baseAt + mostBaseBytes).replace(/\0+$/, '') || null,
  }
}

/**
 * Returns the header, XML and cookie of a save image; the stream follows directly. Pure.
 * @param room length of the result in bytes, padded with zeroes. Default: as short as possible
 * @throws RangeError when it does not fit into `room`, or the text contains a NUL
 */
export function writeSaveImage({ xml, cookie, running }: SaveImageHeader, room?: number): Buffer {
  if (xml.includes('\0') || cookie?.includes('\0')) throw new RangeError('a NUL in the XML or the cookie')
  const xmlPart = Buffer.from(`${xml}\0`)
  const cookiePart = Buffer.from(cookie === null ? '' : `${cookie}\0`)
  const least = headerBytes + xmlPart.length + cookiePart.length
  const total = room ?? least
  if (total < least) throw new RangeError(`${least} bytes don't fit into ${total}`)
  const image = Buffer.alloc(total)
  magic.copy(image)
  image.writeUInt32LE(version, 16)
  image.writeUInt32LE(total - headerBytes, 20)
  image.writeUInt32LE(running ? 1 : 0, 24)
  image.writeUInt32LE(cookie === null ? 0 : xmlPart.length, 32)
  xmlPart.copy(image, headerBytes)
  cookiePart.copy(image, headerBytes + xmlPart.length)
  return image
}

/** How the stream of a save image is stored. */
export type Storage = Pick<SaveImage, 'format' | 'hasZeroPages' | 'base'>

/** Returns the part of a save image before its stream, changed for the same memory stored in another way. Pure. */
export function inFormat(head: Buffer, { format, hasZeroPages, base }: Storage): Buffer {
  const changed = Buffer.from(head)
  changed.writeUInt32LE(formats[format], formatAt)
  changed.writeUInt32LE(hasZeroPages ? 0 : 1, strippedAt)
  changed.fill(0, baseAt, baseAt + mostBaseBytes).write(base ?? '', baseAt, 'latin1')
  return changed
}

function string(data: Buffer): string {
  const end = data.indexOf(0)
  if (end < 0) throw unusable('its text has no end')
  return data.toString('utf8', 0, end)
}

function unusable(why: string): CroftError {
  return new CroftError('memory-unusable', `The saved memory can't be used: ${why}.`)
}
