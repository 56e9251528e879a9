import { describe, expect, test } from 'vitest'
import { type BoxLoad, isBusy, noisyNeighbours, type Rate, rateOf } from './noisy-neighbours.ts'

const load = (more: Partial<BoxLoad['pressure']> = {}, isTight = false): BoxLoad => ({
  cpus: 2,
  memoryBytes: 20e9,
  isTight,
  pressure: { cpu: 0, memory: 0, io: 0, ...more },
})
const vm = (id: string, more: Partial<Rate> = {}): Rate => ({
  id,
  cpus: 0.1,
  wantedCpus: 0.1,
  memoryBytes: 0.4e9,
  diskBytesPerS: 1000,
  sentBytesPerS: 1000,
  sentPacketsPerS: 10,
  ...more,
})
const named = (box: BoxLoad, ...rates: Rate[]) =>
  [...noisyNeighbours(box, rates)].map(([id, { what }]) => `${id} ${what}`)

describe('a VM is a noisy neighbour', () => {
  test('because of its CPU use when others wait for CPUs, but not when it uses what nobody else wants', () => {
    const rates = [vm('web'), vm('hog', { cpus: 1.8 })]
    expect(named(load({ cpu: 60 }), ...rates)).toEqual(['hog takes 1.8 of 2 CPUs'])
    expect(noisyNeighbours(load({ cpu: 60 }), rates).get('hog')!.why).toBe('others wait for a CPU 60 % of the time')
    expect(named(load({ cpu: 5 }), ...rates)).toEqual([])
    expect(named(load({ cpu: null }), ...rates)).toEqual([])
  })
  test('together with others that use as much', () => {
    const rates = ['a', 'b'].map((id) => vm(id, { cpus: 0.9 }))
    expect(named(load({ cpu: 60 }), ...rates)).toEqual(['a takes 0.9 of 2 CPUs', 'b takes 0.9 of 2 CPUs'])
  })
  test('because of its disk use rather than the CPU time that this takes', () => {
    expect(named(load({ cpu: 60, io: 50 }), vm('web'), vm('hog', { cpus: 1.5, diskBytesPerS: 200e6 }))).toEqual([
      'hog reads and writes 200 MB a second',
    ])
  })
  test('because of its memory when there is little left', () => {
    const rates = [vm('web'), vm('shop'), vm('hog', { memoryBytes: 9e9 })]
    expect(named(load({}, true), ...rates)).toEqual(['hog has 9.0 GB of memory'])
    expect(named(load(), ...rates)).toEqual([])
  })
  test('because of what it sends', () => {
    expect(named(load(), vm('web'), vm('hog', { sentPacketsPerS: 40_000, sentBytesPerS: 2e6 }))).toEqual([
      'hog sends 40000 packets a second',
    ])
    expect(named(load(), vm('web'), vm('hog', { sentPacketsPerS: 5_000, sentBytesPerS: 80e6 }))).toEqual([
      'hog sends 80 MB a second',
    ])
  })
})

test('a VM is busy when it wants much CPU time, even while it gets little, and until it wants much less', () => {
  expect([0.2, 0.6, 0.8].map((wanted) => isBusy(wanted, false))).toEqual([false, false, true])
  expect([0.2, 0.6, 0.8].map((wanted) => isBusy(wanted, true))).toEqual([false, true, true])
  const stats = {
    residentBytes: 0,
    ownBytes: 0,
    fileBytes: 0,
    receivedBytes: 0,
    sentBytes: 0,
    sentPackets: 0,
    balloon: undefined,
  }
  const disk = { diskReadBytes: 0, diskWrittenBytes: 0 }
  const at = (s: number) => ({ ...stats, ...disk, cpuTimeNs: s * 3e8, guestTimeNs: s * 2e8, waitedNs: s * 18e8 })
  expect(rateOf('hog', at(1), at(6), 5)).toMatchObject({ cpus: 0.3, wantedCpus: 2 })
})
