import fc from 'fast-check'
import { expect, test } from 'vitest'
import { readXml } from './read-xml.ts'
import { xml } from './xml.ts'

test('elements are found by their path, in the order of the document, with entities decoded', () => {
  const read = readXml(
    `<?xml version="1.0"?><!-- a comment --><domain type='kvm'><name>a &amp; b &#x2014;</name>
<devices><disk device='disk'><source file='/a&apos;b&#9;c'/></disk><disk/><disk><source file="2"/></disk></devices></domain>`,
  )
  expect([read.name, read.attributes]).toEqual(['domain', { type: 'kvm' }])
  expect(read.first('name')?.text).toBe('a & b —')
  expect(read.all('devices/disk/source').map(({ attributes }) => attributes.file)).toEqual(["/a'b\tc", '2'])
  expect([read.first('devices/cdrom/source'), read.all('devices/disk').length]).toEqual([undefined, 3])
})

test('whatever is written by xml is read as it was', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', minLength: 1 }), (text) => {
      const read = readXml(xml`<a x="${text}"><b>${`.${text}.`}</b></a>`.text)
      expect([read.attributes.x, read.first('b')?.text]).toEqual([text, `.${text}.`])
    }),
  )
})

test('what is no XML is an error', () => {
  expect(() => readXml('')).toThrow('No XML element')
  expect(() => readXml('libvirt is away')).toThrow('No XML element')
})
