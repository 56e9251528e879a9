import { describe, expect, test } from 'vitest'
import { type BoxMemory, floorBytes, levelOf, planActions, type VmMemory } from './decide.ts'

const MiB = 2 ** 20
const box = (roomMiB: number, more: Partial<BoxMemory> = {}): BoxMemory => ({
  total: 10_000 * MiB,
  available: (500 + roomMiB) * MiB,
  reserve: 500 * MiB,
  some: 0,
  full: 0,
  ...more,
})
/** A guest with so many MiB usable, and so many of page cache. */
const guest = (usable: number, caches: number, majorFaultsPerS = 0) => ({
  usable: usable * MiB,
  caches: caches * MiB,
  majorFaultsPerS,
})
/** A VM of 4,000 MiB that uses 300 MiB and has 500 MiB of page cache. */
const vm = (name: string, more: Partial<VmMemory> = {}): VmMemory => ({
  id: name,
  name,
  maximum: 4000 * MiB,
  balloon: 4000 * MiB,
  guest: guest(3700, 500),
  idleMs: undefined,
  pinned: false,
  busy: false,
  ownBytes: 800 * MiB,
  unused: 0,
  past: {},
  ...more,
})
const squeezed = (name: string, usableMiB: number, more: Partial<VmMemory> = {}) =>
  vm(name, {
    balloon: 500 * MiB,
    guest: guest(usableMiB, usableMiB),
    past: { squeezedMs: 5000 },
    ...more,
  })

describe('the level of the box', () => {
  test('follows the free memory beyond the reserve', () => {
    expect([2000, 900, 300, 50, -100].map((room) => levelOf(box(room), 'plenty'))).toEqual([
      'plenty',
      'tight',
      'short',
      'none',
      'none',
    ])
  })
  test('follows memory pressure, even where much seems to be free', () => {
    expect(levelOf(box(5000, { some: 30 }), 'plenty')).toBe('tight')
    expect(levelOf(box(5000, { full: 30 }), 'plenty')).toBe('short')
    expect(levelOf(box(5000, { some: null, full: null }), 'plenty')).toBe('plenty')
  })
  test('does not flap at a threshold', () => {
    expect(levelOf(box(1100), 'tight')).toBe('tight')
    expect(levelOf(box(1600), 'tight')).toBe('plenty')
    expect(levelOf(box(130), 'none')).toBe('none')
    expect(levelOf(box(170), 'none')).toBe('short')
  })
})

describe('with plenty of memory', () => {
  test('nothing is done to VMs in use', () => {
    expect(planActions(box(5000), 'plenty', [vm('web')])).toEqual([])
  })
  test('idle VMs are pulsed once, the VM with most to give first', () => {
    const idle = { idleMs: 600_000 }
    const much = { ...idle, guest: guest(3700, 1500) }
    const vms = [vm('small', idle), vm('large', much), vm('recent', { idleMs: 1000 })]
    expect(planActions(box(5000), 'plenty', vms)).toMatchObject([{ type: 'pulse', id: 'large' }])
    const again = [vm('large', { ...much, past: { pulsedMs: 1 } })]
    expect(planActions(box(5000), 'plenty', again)).toEqual([])
  })
  test('squeezed memory is given back after a while', () => {
    expect(planActions(box(5000), 'plenty', [squeezed('web', 150)])).toEqual([])
    expect(planActions(box(5000), 'plenty', [squeezed('web', 150, { past: { squeezedMs: 60_000 } })])).toMatchObject([
      { type: 'release', id: 'web' },
    ])
  })
})

describe('memory that only saving has allocated', () => {
  const saved = vm('web', { unused: 3000 * MiB })
  test('is reclaimed immediately, whether the VM is in use or not, and the guest keeps its page cache', () => {
    for (const level of ['plenty', 'tight', 'none'] as const) {
      const deeds = planActions(box(300), level, [vm('shop', { busy: true }), saved])
      // The VM uses 300 MiB, has 500 MiB of page cache, and is left a margin.
      expect(deeds).toMatchObject([{ type: 'pulse', id: 'web', to: (300 + 500 + 64) * MiB }])
    }
  })
  test('is left alone when an operation holds the VM, the guest reports nothing, or there is little of it', () => {
    const guests = [{ busy: true }, { guest: undefined }, { unused: 10 * MiB }, { balloon: 1000 * MiB }]
    for (const more of guests)
      expect(planActions(box(5000), 'plenty', [{ ...saved, ...more }])).not.toContainEqual(
        expect.objectContaining({ type: 'pulse' }),
      )
  })
})

describe('when memory is tight', () => {
  test('VMs give up memory in proportion to what they don’t use, and no more than is wanted', () => {
    const vms = [vm('web'), vm('shop', { guest: guest(3700, 1000) }), vm('tiny', { guest: guest(3700, 90) })]
    const deeds = planActions(box(1000), 'tight', vms)
    // 500 MiB are wanted. The VMs can give 436 and 936, as each is left its 300 and a margin of 64.
    const taken = (436 / 1372) * 500
    expect(deeds).toEqual([
      expect.objectContaining({ type: 'squeeze', id: 'web', to: expect.closeTo((800 - taken) * MiB, -3) }),
      expect.objectContaining({ type: 'squeeze', id: 'shop', to: expect.closeTo((1300 - 500 + taken) * MiB, -3) }),
    ])
  })
  test('no VM falls below its working set, however much is wanted', () => {
    for (const caches of [50, 500, 3600]) {
      const web = vm('web', { guest: guest(3700, caches) })
      for (const deed of planActions(box(-5000), 'tight', [web]))
        if ('to' in deed) expect(deed.to).toBeGreaterThanOrEqual(floorBytes(web))
    }
  })
  test('a guest that needs its memory gets it back immediately, and is left alone for a while', () => {
    expect(planActions(box(1000), 'tight', [squeezed('web', 20)])).toMatchObject([{ type: 'release', id: 'web' }])
    const thrashing = squeezed('web', 200, { guest: guest(200, 200, 500) })
    expect(planActions(box(1000), 'tight', [thrashing])).toMatchObject([{ type: 'release', id: 'web' }])
    expect(planActions(box(1000), 'tight', [vm('web', { past: { neededMs: 10_000 } })])).toEqual([])
  })
  test('a guest that reports nothing is not squeezed, or is released', () => {
    expect(planActions(box(1000), 'tight', [vm('mute', { guest: undefined })])).toEqual([])
    expect(planActions(box(1000), 'tight', [squeezed('mute', 0, { guest: undefined })])).toMatchObject([
      { type: 'release' },
    ])
  })
  test('a balloon that the governor did not inflate is released, unless an operation holds the VM', () => {
    expect(planActions(box(1000), 'tight', [squeezed('web', 300, { past: {} })])).toMatchObject([{ type: 'release' }])
    expect(planActions(box(1000), 'tight', [squeezed('web', 300, { past: {}, busy: true })])).toEqual([])
  })
  test('no VM is put to sleep', () => {
    expect(planActions(box(1000), 'tight', [vm('old', { idleMs: 3_600_000, guest: undefined })])).toEqual([])
  })
})

describe('when memory is short', () => {
  const mute = { guest: undefined }
  test('the VM that has been idle longest is put to sleep, one at a time', () => {
    const vms = [
      vm('old', { ...mute, idleMs: 900_000 }),
      vm('oldest', { ...mute, idleMs: 1_900_000 }),
      vm('used', mute),
      vm('just', { ...mute, idleMs: 20_000 }),
    ]
    expect(planActions(box(300), 'short', vms)).toMatchObject([{ type: 'sleep', id: 'oldest' }])
    expect(planActions(box(300), 'short', vms.slice(2))).toEqual([])
    expect(planActions(box(-300), 'none', vms.slice(2))).toMatchObject([{ type: 'sleep', id: 'just' }])
  })
  test('a VM that shares nearly all its memory is not put to sleep: the box would gain nothing', () => {
    const fork = { idleMs: 3600_000, ownBytes: 20 * MiB, guest: undefined }
    expect(planActions(box(-300), 'none', [vm('fork', fork)])).toEqual([])
    expect(planActions(box(-300), 'none', [vm('fork', { ...fork, ownBytes: 100 * MiB })])).toMatchObject([
      { type: 'sleep', id: 'fork' },
    ])
  })
  test('a VM that is set never to sleep is not put to sleep', () => {
    expect(planActions(box(300), 'short', [vm('kept', { ...mute, idleMs: 900_000, pinned: true })])).toEqual([])
    expect(planActions(box(-300), 'none', [vm('kept', { ...mute, idleMs: 900_000, pinned: true })])).toEqual([])
  })
  test('VMs that doze go first, however short they have been idle, and nothing else is done to them', () => {
    const sleeper = (id: string, idleMs: number, more = {}) => ({
      ...{ id, name: id, idleMs, pinned: false, busy: false, ownBytes: 100 * MiB },
      ...more,
    })
    const dozing = [sleeper('just', 1000), sleeper('longer', 2000), sleeper('held', 9000, { busy: true })]
    const awake = [vm('oldest', { ...mute, idleMs: 1_900_000 })]
    expect(planActions(box(300), 'short', awake, dozing)).toMatchObject([{ type: 'sleep', id: 'longer' }])
    expect(planActions(box(300), 'short', awake, [sleeper('kept', 9000, { pinned: true })])).toMatchObject([
      { type: 'sleep', id: 'oldest' },
    ])
    for (const level of ['plenty', 'tight'] as const) expect(planActions(box(1000), level, [], dozing)).toEqual([])
  })
  test('when memory is tight, a VM that has dozed for long goes to sleep, as it can give nothing back', () => {
    const dozing = [{ id: 'long', name: 'long', idleMs: 400_000, pinned: false, busy: false, ownBytes: 100 * MiB }]
    expect(planActions(box(1000), 'plenty', [], dozing)).toEqual([])
    expect(planActions(box(1000), 'tight', [], dozing)).toMatchObject([{ type: 'sleep', id: 'long' }])
  })
})
