import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { MemoryBase } from '../../store/index.ts'
import { emptyState, type State } from '../../store/schema/state.ts'
import { diskUse, filesOfVms, type Measured } from './disk-use.ts'
import { type Garbage, garbage } from './garbage.ts'
import { reclaimable } from './reclaimable.ts'

const now = new Date('2026-11-26T12:00:00Z')
const none = new Set<string>()
const scheduled = { hourly: 24, daily: 0 }
const someVm = { image: 'i', memory: null, phase: 'ready', schedule: { hourly: 0, daily: 0 } }
const someCheckpoint = { vm: null, image: 'i', memory: null, kind: 'asked' }

type Records = {
  layers: Record<string, string | null>
  vms?: Record<string, { disk: string; image?: string; memory?: string | null; schedule?: object }>
  checkpoints?: Record<
    string,
    { layer: string; memory?: string | null; vm?: string; image?: string; kind?: string; at?: string }
  >
  images?: Record<string, { layer: string; current?: boolean }>
  memories?: string[]
}

/** A state in short notation; `i` is an image on the layer `li` unless given otherwise. */
function stateOf({
  layers,
  vms = {},
  checkpoints = {},
  images = { i: { layer: 'li' } },
  memories = [],
}: Records): State {
  const each = <T, R>(records: Record<string, T>, of: (id: string, record: T) => R) =>
    Object.fromEntries(Object.entries(records).map(([id, record]) => [id, { id, ...of(id, record) }]))
  const createdAt = now.toISOString()
  return {
    ...emptyState('test'),
    layers: each(layers, (id, parent) => ({ parent, file: `layers/${id}`, createdAt })),
    memories: Object.fromEntries(memories.map((id) => [id, { id, file: `memory/${id}` }])),
    vms: each(vms, (id, vm) => ({ ...someVm, name: id, createdAt, ...vm })),
    checkpoints: each(checkpoints, (id, { at = createdAt, ...given }) => ({
      ...someCheckpoint,
      label: id,
      createdAt: at,
      ...given,
    })),
    images: each(images, (id, { layer, current = true }) => ({ name: id, createdAt, layer, current })),
  } as unknown as State
}

/** Every file of the state, the first of 1 byte, the next of 2, 4, …: each sum shows which files are in it. */
function filesOf(state: State): Measured[] {
  const { layers, memories, images, vms } = state
  const all = [
    ...[...Object.values(layers), ...Object.values(memories)].map(({ id, file }) => ({ id, path: file })),
    ...Object.keys(images).map((id) => ({ id, path: `images/${id}` })),
    ...Object.keys(vms).map((id) => ({ id, path: `vms/${id}` })),
  ]
  return all.map((each, i) => ({ ...each, bytes: 2 ** i }))
}

/** @param sizes by the name of the layer, the memory or the image's folder; folders of VMs have none */
function use(state: State, sizes: Record<string, number>, more: Measured[] = []) {
  const files = filesOf(state).map((each) => ({
    ...each,
    bytes: sizes[each.path.replace(/^(layers|memory|images)\//, '')] ?? 0,
  }))
  const found = diskUse(state, none, [...files, ...more])
  const part = (id: string) => {
    const { ownBytes, sharedBytes, layerBytes, savedMemoryBytes } = found.parts.find((each) => each.id === id)!
    return [ownBytes, sharedBytes, layerBytes, savedMemoryBytes]
  }
  return { ...found, part }
}

/** web: c1 with memory, then its disk; copy: a fork of c1, asleep. */
const forked = stateOf({
  layers: { li: null, c1: 'li', web: 'c1', copy: 'c1' },
  vms: { web: { disk: 'web' }, copy: { disk: 'copy', memory: 'ms' } },
  checkpoints: { c1: { layer: 'c1', memory: 'mc', vm: 'web' } },
  memories: ['mc', 'ms'],
})
const sizes = { li: 1000, i: 100, c1: 50, mc: 20, web: 7, copy: 3, ms: 2 }

describe('what a VM, a checkpoint, an image costs', () => {
  test('is what it owns, and what it shares; in total, each file counts once', () => {
    const { part, allBytes, sharedBytes } = use(forked, sizes)
    expect(part('web')).toEqual([27, 1150, 7, 0])
    expect(part('c1')).toEqual([20, 1050, 50, 20])
    expect(part('copy')).toEqual([5, 1150, 3, 0])
    expect(part('ms')).toEqual([2, 0, 0, 2])
    expect(part('i')).toEqual([0, 1100, 1100, 0])
    expect(allBytes).toBe(1182)
    expect(sharedBytes).toBe(1150)
  })

  test.each(['web', 'ms', 'mc'])('has the base that was made for copies of %s', (of) => {
    const base = { id: 'b', of, file: 'bases/b', rest: 'memory/b.rest' } as MemoryBase
    const files = filesOfVms({ ...forked, memoryBases: { b: base } }, none)
    expect(files.get(of === 'ms' ? 'copy' : 'web')).toEqual(expect.arrayContaining([base.file, base.rest]))
  })

  test('is in files that only it and its checkpoints need', () => {
    expect(filesOfVms(forked, none)).toEqual(
      new Map([
        ['web', ['layers/web', 'vms/web', 'memory/mc']],
        ['copy', ['layers/copy', 'vms/copy', 'memory/ms']],
      ]),
    )
  })

  test('is listed with the largest VM first, each followed by its parts', () => {
    expect(use(forked, sizes).parts.map(({ kind, id }) => `${kind} ${id}`)).toEqual([
      'vm web',
      'checkpoint c1',
      'vm copy',
      'memory ms',
      'image i',
    ])
  })

  test('of an image that is no longer current belongs to its last VM', () => {
    const state = stateOf({
      layers: { li: null, lo: null, web: 'lo' },
      vms: { web: { disk: 'web', image: 'o' } },
      images: { i: { layer: 'li' }, o: { layer: 'lo', current: false } },
    })
    const { part } = use(state, { li: 1, lo: 1000, i: 1, o: 100, web: 10 })
    expect(part('web')).toEqual([1110, 0, 10, 0])
    expect(part('o')).toEqual([0, 1100, 1100, 0])
    expect(part('i')).toEqual([2, 0, 2, 0])
  })

  const layerIds = ['li', 'a', 'b', 'c', 'd', 'e', 'f']
  const layer = fc.constantFrom(...layerIds)
  const memory = fc.option(fc.constantFrom('m1', 'm2', 'm3'), { nil: null })
  const image = fc.constantFrom('i', 'j')
  const anyState = fc
    .record({
      beneath: fc.array(fc.nat(5), { minLength: 6, maxLength: 6 }),
      disks: fc.array(fc.record({ disk: layer, image, memory }), { maxLength: 3 }),
      points: fc.array(
        fc.record({ layer, memory, image, vm: fc.constantFrom('v0', 'v1', 'v2'), golden: fc.boolean() }),
        { maxLength: 4 },
      ),
      current: fc.boolean(),
    })
    .map(({ beneath, disks, points, current }) =>
      stateOf({
        layers: Object.fromEntries(layerIds.map((id, i) => [id, i === 0 ? null : layerIds[beneath[i - 1]! % i]!])),
        vms: Object.fromEntries(disks.map((vm, i) => [`v${i}`, vm])),
        checkpoints: Object.fromEntries(
          points.map(({ golden, ...each }, i) => [`p${i}`, { ...each, ...(golden && { kind: 'golden' }) }]),
        ),
        images: { i: { layer: 'li' }, j: { layer: 'a', current } },
        memories: ['m1', 'm2', 'm3'],
      }),
    )

  test('is owned when it would be garbage without the thing', () => {
    const without = <T>(records: Record<string, T>, id: string) =>
      Object.fromEntries(Object.entries(records).filter(([each]) => each !== id)) as Record<string, T>
    fc.assert(
      fc.property(anyState, (state) => {
        const files = filesOf(state)
        const bytesOf = ({ layers, memories, images }: Garbage) => {
          const paths = [...[...layers, ...memories].map(({ file }) => file), ...images.map(({ id }) => `images/${id}`)]
          return files.filter(({ path }) => paths.includes(path)).reduce((sum, { bytes }) => sum + bytes, 0)
        }
        const before = bytesOf(garbage(state, none))
        const { parts, allBytes, leftovers } = diskUse(state, none, files)
        expect(allBytes).toBe(2 ** files.length - 1)
        expect(leftovers.bytes).toBe(before)
        for (const { kind, id, group, ownBytes } of parts) {
          const folder = kind === 'vm' ? files.find(({ path }) => path === `vms/${id}`)!.bytes : 0
          const vm = state.vms[group]!
          const image = state.images[id]!
          const after: State =
            kind === 'vm'
              ? { ...state, vms: without(state.vms, id) }
              : kind === 'memory'
                ? { ...state, vms: { ...state.vms, [group]: { ...vm, memory: null } } }
                : kind === 'image'
                  ? { ...state, images: { ...state.images, [id]: { ...image, current: false } } }
                  : { ...state, checkpoints: without(state.checkpoints, id) }
          expect([kind, id, ownBytes - folder]).toEqual([kind, id, bytesOf(garbage(after, none)) - before])
        }
      }),
    )
  })
})

test('files without a record, or with one that nothing needs, are leftovers', () => {
  const state = stateOf({ layers: { li: null, lost: 'li' } })
  const stray = { id: 'lay_x', path: 'layers/lay_x.qcow2', bytes: 5 }
  const { leftovers, allBytes } = use(state, { li: 1000, lost: 30 }, [stray, { ...stray, path: 'vms/y', bytes: 0 }])
  expect(leftovers).toEqual({ files: 2, bytes: 35 })
  expect(allBytes).toBe(1035)
})

describe('what can go', () => {
  const old = '2026-11-01T00:00:00Z'
  const state = stateOf({
    layers: { li: null, lj: null, web: 'li', kept: 'li' },
    vms: { web: { disk: 'web' }, kept: { disk: 'kept', schedule: scheduled } },
    checkpoints: {
      old: { layer: 'li', memory: 'm1', vm: 'web', at: old },
      bare: { layer: 'li', vm: 'web', at: old },
      young: { layer: 'li', memory: 'm2', vm: 'web', at: '2026-11-25T00:00:00Z' },
      late: { layer: 'li', memory: 'm3', vm: 'web', kind: 'scheduled', at: old },
      clock: { layer: 'li', memory: 'm4', vm: 'kept', kind: 'scheduled', at: old },
    },
    images: { i: { layer: 'li' }, j: { layer: 'lj' } },
    memories: ['m1', 'm2', 'm3', 'm4'],
  })
  const found = (image: string) => {
    const stray = { id: 'x', path: 'memory/x', bytes: 4 }
    return reclaimable(state, use(state, { li: 1000, lj: 300, m1: 20, m2: 20, m3: 50, m4: 20 }, [stray]), image, now)
  }

  test('is what is old and unused, with the space it frees and the command', () => {
    expect(found('i')).toEqual([
      { command: 'croft image rm j', bytes: 300, why: 'no VM is made from it' },
      { command: 'croft checkpoint rm web late', bytes: 50, why: 'taken 25 days ago' },
      { command: 'croft checkpoint rm web old', bytes: 20, why: 'taken 25 days ago' },
      { command: 'systemctl restart croft', bytes: 4, why: '1 file that nothing needs' },
    ])
  })

  test('is never the image that new VMs are made from', () => {
    expect(found('j').map(({ command }) => command)).not.toContain('croft image rm j')
  })
})
