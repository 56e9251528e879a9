import { describe, expect, test } from 'vitest'
import { headerBytes, inFormat, readSaveImage, type SaveImageHeader, writeSaveImage } from './save-image.ts'

const from = (image: Buffer) => async (offset: number, length: number) => image.subarray(offset, offset + length)
const stream = Buffer.from('QEVM and so on')

describe('a save image', () => {
  // Lengths around every power of two up to 64 KiB, in bytes of one and of more.
  const lengths = Array.from({ length: 17 }, (_, i) => 2 ** i).flatMap((n) => [n - 1, n, n + 1])
  test.each(['x', 'ü', '😀'])('of XML of any length, of %s, reads as it was written', async (letter) => {
    for (const length of lengths) {
      for (const cookie of [null, '', '<cookie/>', letter.repeat(length % 777)]) {
        const header: SaveImageHeader = { xml: letter.repeat(length), cookie, running: length % 2 === 0 }
        for (const room of [undefined, 2 ** 20]) {
          const written = writeSaveImage(header, room)
          if (room !== undefined) expect(written.length).toBe(room)
          const read = await readSaveImage(from(Buffer.concat([written, stream])))
          expect(read).toEqual({
            ...header,
            streamOffset: written.length,
            format: 'raw',
            hasZeroPages: true,
            base: null,
          })
        }
      }
    }
  })

  test('has libvirt’s layout', () => {
    const image = writeSaveImage({ xml: '<domain/>', cookie: '<cookie/>', running: true }, 128)
    expect(image.toString('latin1', 0, 16)).toBe('LibvirtQemudSave')
    expect([16, 20, 24, 28, 32].map((at) => image.readUInt32LE(at))).toEqual([2, 128 - 92, 1, 0, 10])
    expect(image.toString('latin1', 92, 112)).toBe('<domain/>\0<cookie/>\0')
    expect(image.subarray(112)).toEqual(Buffer.alloc(16))
  })

  test('records the format of its stream', async () => {
    const image = writeSaveImage({ xml: '<domain/>', cookie: '<cookie/>', running: true })
    const changed = { format: 'zstd', hasZeroPages: false, base: 'bas_aaaaaaaaaa' } as const
    const small = inFormat(image, changed)
    expect([28, 36].map((at) => small.readUInt32LE(at))).toEqual([5, 1])
    expect(await readSaveImage(from(small))).toEqual({ ...(await readSaveImage(from(image))), ...changed })
    expect(inFormat(small, { format: 'raw', hasZeroPages: true, base: null })).toEqual(image)
  })

  test('refuses XML that does not fit into its room, and a NUL', () => {
    expect(() => writeSaveImage({ xml: 'x'.repeat(100), cookie: null, running: true }, 128)).toThrow(RangeError)
    expect(() => writeSaveImage({ xml: 'a\0b', cookie: null, running: true })).toThrow(RangeError)
    expect(() => writeSaveImage({ xml: 'a', cookie: '\0', running: true })).toThrow(RangeError)
  })

  const good = writeSaveImage({ xml: '<domain/>', cookie: '<cookie/>', running: true })
  const changed = (change: (image: Buffer) => void) => {
    const image = Buffer.from(good)
    change(image)
    return image
  }
  test('cut short at any byte is refused', async () => {
    for (let length = 0; length < good.length; length++) {
      await expect(readSaveImage(from(good.subarray(0, length)))).rejects.toMatchObject({ code: 'memory-unusable' })
    }
    expect((await readSaveImage(from(good))).xml).toBe('<domain/>')
  })

  test.each([
    ['that is something else', (image: Buffer) => void image.write('#!/bin/bash'), /does not begin/],
    ['that was never finished', (image: Buffer) => void image.write('LibvirtQemudPart'), /never finished/],
    ['of an older version', (image: Buffer) => void image.writeUInt32LE(1, 16), /version is 1/],
    ['of a newer version', (image: Buffer) => void image.writeUInt32LE(3, 16), /version is 3/],
    ['of the other byte order', (image: Buffer) => void image.writeUInt32BE(2, 16), /version is/],
    ['with a stream compressed otherwise', (image: Buffer) => void image.writeUInt32LE(1, 28), /format 1/],
    ['of no length', (image: Buffer) => void image.writeUInt32LE(0, 20), /lengths/],
    ['of an absurd length', (image: Buffer) => void image.writeUInt32LE(0xffffffff, 20), /lengths/],
    ['with its cookie beyond its end', (image: Buffer) => void image.writeUInt32LE(20, 32), /lengths/],
    ['whose XML has no end', (image: Buffer) => void image.fill('x', headerBytes, headerBytes + 10), /no end/],
  ])('%s is refused, and says why', async (_, change, why) => {
    await expect(readSaveImage(from(changed(change)))).rejects.toMatchObject({
      code: 'memory-unusable',
      message: expect.stringMatching(why),
    })
  })
})
