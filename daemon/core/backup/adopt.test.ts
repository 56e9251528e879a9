import { describe, expect, test } from 'vitest'
import type { Checkpoint, Image, Layer, State, Vm } from '../../store/index.ts'
import { emptyState } from '../../store/schema/state.ts'
import { planAdoption } from './adopt.ts'
import { type Manifest, parseManifest } from './manifest.ts'

const now = '2026-11-30T12:00:00.000Z'
const layer = (id: string, parent: string | null): Layer => ({ id, file: `layers/${id}.qcow2`, parent, createdAt: now })
const layers = [
  layer('lay_root000000', null),
  layer('lay_below00000', 'lay_root000000'),
  layer('lay_top0000000', 'lay_below00000'),
]
const image: Image = {
  id: 'img_root000000',
  name: 'debian',
  current: true,
  layer: 'lay_root000000',
  kernel: 'images/img_root000000/vmlinuz',
  initrd: 'images/img_root000000/initrd',
  cmdline: '',
  user: 'dev',
  ports: [],
  version: '13',
  diskGiB: 1,
  createdAt: now,
}
const manifest: Manifest = {
  format: 'croft-vm',
  version: 1,
  croft: '0.1.0',
  takenAt: now,
  vm: {
    name: 'web',
    limits: { cpus: 1, memoryMiB: 512, diskGiB: 1 },
    env: {},
    tags: [],
    comment: '',
    createdAt: now,
    sleepAfter: null,
    keepsAppointments: true,
    restart: 'never',
    priority: 'normal',
    rates: { cpuPercent: null, diskBytesPerS: null, netBitsPerS: null },
    schedule: { hourly: 0, daily: 0 },
    web: { port: null, public: [] },
  },
  image,
  layers,
}
/** A checkpoint that keeps a layer. */
const keeps = (id: string) => ({ chk_a: { id: 'chk_a', layer: id } as Checkpoint })
const byId = (all: Layer[]) => Object.fromEntries(all.map((each) => [each.id, each]))

describe('of a backup', () => {
  test('only the layers are read that the box lacks', () => {
    const state = {
      ...emptyState('i'),
      layers: byId(layers.slice(0, 2)),
      checkpoints: keeps('lay_below00000'),
      images: { [image.id]: image },
    }
    const { places, top, image: wanted } = planAdoption(state, manifest, true, now)
    expect(places).toEqual([
      {
        from: 'layers/lay_top0000000.qcow2',
        layer: { id: top, file: `layers/${top}.qcow2`, parent: 'lay_below00000', createdAt: now },
      },
    ])
    expect(top).not.toBe('lay_top0000000')
    expect(wanted).toBe(null)
  })

  test('nothing is read when the box has all of it, and layers may have been merged since', () => {
    const state = {
      ...emptyState('i'),
      layers: byId([layers[0]!, { ...layers[2]!, file: 'layers/lay_below00000.qcow2', parent: 'lay_root000000' }]),
      checkpoints: keeps('lay_top0000000'),
      images: { [image.id]: image },
    }
    expect(planAdoption(state, manifest, true, now)).toEqual({ top: 'lay_top0000000', places: [], image: null })
  })

  test('a layer is read that a merge may have begun to change', () => {
    // The VM's disk is to be merged into the layer of the backup, as nothing else stands on that.
    const disk = layer('lay_disk000000', 'lay_top0000000')
    const vms = { vm_a: { id: 'vm_a', disk: disk.id, image: image.id } as Vm }
    const state = { ...emptyState('i'), layers: byId([...layers, disk]), images: { [image.id]: image }, vms }
    const files = (from: State) => planAdoption(from, manifest, true, now).places.map((place) => place.from)
    expect(files(state)).toEqual(layers.slice(1).map(({ file }) => file))
    // Nothing is merged into a layer that another one stands on too.
    const other = layer('lay_other00000', 'lay_top0000000')
    expect(files({ ...state, layers: byId([...layers, disk, other]) })).toEqual([])
  })

  test('all is read on another box, with its image, under new names', () => {
    const state = { ...emptyState('i'), layers: byId(layers), images: { [image.id]: image } }
    const { places, top, image: wanted } = planAdoption(state, manifest, false, now)
    expect(places.map(({ from }) => from)).toEqual(layers.map(({ file }) => file))
    const [root, below, above] = places.map((place) => place.layer)
    expect([root!.parent, below!.parent, above!.parent, top]).toEqual([null, root!.id, below!.id, above!.id])
    expect(wanted!.record).toMatchObject({ layer: root!.id, current: false, name: 'debian' })
    const names = [wanted!.record.id, root!.file, wanted!.record.kernel].join(' ')
    expect(names).toMatch(/^img_(\w{10}) layers\/lay_\1\.qcow2 images\/img_\1\/vmlinuz$/)
    expect(names).not.toContain('root000000')
  })
})

describe('a description', () => {
  test('is read as it was written', () => {
    expect(parseManifest(JSON.stringify(manifest))).toEqual(manifest)
  })

  test.each([
    ['no JSON', '{'],
    ['a later version', JSON.stringify({ ...manifest, version: 2 })],
    ['no chain', JSON.stringify({ ...manifest, layers: layers.toReversed() })],
    ['a path outside', JSON.stringify({ ...manifest, image: { ...image, kernel: '../../etc/shadow' } })],
    ['a path within a path', JSON.stringify({ ...manifest, layers: [{ ...layers[0], file: 'layers/../state.json' }] })],
  ])('with %s is refused', (_, text) => {
    expect(() => parseManifest(text)).toThrow(/can’t be read/)
  })
})
