import fc from 'fast-check'
import { XMLParser } from 'fast-xml-parser'
import { describe, expect, test } from 'vitest'
import { type BoxShape, domainXml } from '../../adapters/libvirt/domain-xml.ts'
import { type Image, noRates, type Vm } from '../../store/index.ts'
import { xml } from './xml.ts'

const parser = new XMLParser({
  ignoreAttributes: false,
  attributeNamePrefix: '',
  trimValues: false,
  parseTagValue: false,
  parseAttributeValue: false,
  processEntities: true,
  htmlEntities: true,
})

describe('xml', () => {
  test('escapes text and attributes, nests, and leaves out what is not there', () => {
    const inner = xml`<b x="${'"&<'}"/>`
    expect(xml`<a>${'<&>'}${inner}${[inner]}${undefined}${false}${3}</a>`.text).toBe(
      '<a>&lt;&amp;&gt;<b x="&quot;&amp;&lt;"/><b x="&quot;&amp;&lt;"/>3</a>',
    )
  })
  test('any string comes back as it went in, but for what XML can not carry', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 1 }), (text) => {
        const parsed = parser.parse(xml`<a x="${text}">${`.${text}.`}</a>`.text)
        expect(parsed.a.x).toBe(text)
        expect(parsed.a['#text']).toBe(`.${text}.`)
      }),
    )
  })
  test('control characters never get through', () => {
    expect(xml`${'a\u0000b\u001bc\ud800d'}`.text).toBe('a\ufffdb\ufffdc\ufffdd')
  })
})

const vm: Vm = {
  id: 'vm_abcdefghij',
  uuid: '0d3d2ac3-4bd8-4a3e-92a4-0a9bb0b6b0a1',
  name: 'web',
  image: 'img_a',
  disk: 'lay_a',
  mac: '52:54:00:00:00:01',
  ip: '10.77.0.2',
  machineId: '0'.repeat(32),
  limits: { cpus: 2, memoryMiB: 4096, diskGiB: 64 },
  env: {},
  tags: [],
  comment: '',
  createdAt: '2026-01-01T00:00:00Z',
  memory: null,
  dozing: false,
  checkpoint: null,
  sleepAfter: null,
  appointment: null,
  keepsAppointments: true,
  restart: 'never',
  priority: 'normal',
  rates: noRates,
  web: { port: null, public: [] },
  schedule: { hourly: 0, daily: 0 },
  phase: 'ready',
  power: 'on',
}
const disk = { id: 'lay_a', file: 'layers/lay_a.qcow2', parent: null, createdAt: '2026-01-01T00:00:00Z' }
const image = { kernel: 'images/img_a/vmlinuz', initrd: 'images/img_a/initrd', cmdline: 'root=/dev/vda quiet' } as Image
const shape: BoxShape = {
  instance: 'i',
  devices: 'd',
  accelerator: 'kvm',
  machine: 'pc-q35-7.2',
  emulator: '/usr/bin/qemu-system-x86_64',
  network: 'croft',
  tapPrefix: 'cv-',
  folder: '/var/lib/croft',
  qemu: { uid: 1, gid: 2 },
}

describe('the domain of a VM', () => {
  const read = (accelerator: BoxShape['accelerator']) =>
    parser.parse(domainXml({ vm, image, disk }, { ...shape, accelerator }).text).domain
  test('boots the kernel of its image, which is told nothing that forks must not share', () => {
    expect(read('kvm').os).toMatchObject({
      kernel: '/var/lib/croft/images/img_a/vmlinuz',
      cmdline: 'root=/dev/vda quiet',
    })
  })
  test('has a tap of a name that fits, its MAC, and stands apart on the bridge', () => {
    const { interface: nic } = read('kvm').devices
    expect(nic).toMatchObject({ mac: { address: vm.mac }, target: { dev: 'cv-abcdefghij' }, port: { isolated: 'yes' } })
    expect(nic.target.dev.length).toBeLessThan(16)
  })
  test('has the CPU of the box under KVM, and none of its own under emulation', () => {
    expect(read('kvm')).toMatchObject({ type: 'kvm', cpu: { mode: 'host-passthrough' } })
    expect(read('tcg').type).toBe('qemu')
    expect(read('tcg').cpu).toBeUndefined()
  })
})
