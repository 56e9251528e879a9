import { describe, expect, test } from 'vitest'
import { heavyOf, isBusy, type Load, type Rate } from './heavy.ts'

const load = (more: Partial<Load['pressure']> = {}, isTight = false): Load => ({
  cpus: 2,
  memoryBytes: 20e9,
  isTight,
  pressure: { cpu: 0, memory: 0, io: 0, ...more },
})
const vm = (id: string, more: Partial<Rate> = {}): Rate => ({
  id,
  cpus: 0.1,
  memoryBytes: 0.4e9,
  diskBytesPerS: 1000,
  sentBytesPerS: 1000,
  sentPacketsPerS: 10,
  ...more,
})
const named = (box: Load, ...rates: Rate[]) => [...heavyOf(box, rates)].map(([id, { what }]) => `${id} ${what}`)

describe('a VM is named', () => {
  test('for CPUs when others wait for them, and not for using what nobody wants', () => {
    const rates = [vm('web'), vm('hog', { cpus: 1.8 })]
    expect(named(load({ cpu: 60 }), ...rates)).toEqual(['hog takes 1.8 of 2 CPUs'])
    expect(heavyOf(load({ cpu: 60 }), rates).get('hog')!.why).toBe('others wait for a CPU 60 % of the time')
    expect(named(load({ cpu: 5 }), ...rates)).toEqual([])
    expect(named(load({ cpu: null }), ...rates)).toEqual([])
  })
  test('with others that take as much', () => {
    const rates = ['a', 'b'].map((id) => vm(id, { cpus: 0.9 }))
    expect(named(load({ cpu: 60 }), ...rates)).toEqual(['a takes 0.9 of 2 CPUs', 'b takes 0.9 of 2 CPUs'])
  })
  test('for the disk rather than for the CPU that this takes', () => {
    expect(named(load({ cpu: 60, io: 50 }), vm('web'), vm('hog', { cpus: 1.5, diskBytesPerS: 200e6 }))).toEqual([
      'hog reads and writes 200 MB a second',
    ])
  })
  test('for memory when there is little', () => {
    const rates = [vm('web'), vm('shop'), vm('hog', { memoryBytes: 9e9 })]
    expect(named(load({}, true), ...rates)).toEqual(['hog has 9.0 GB of memory'])
    expect(named(load(), ...rates)).toEqual([])
  })
  test('for what it sends', () => {
    expect(named(load(), vm('web'), vm('hog', { sentPacketsPerS: 40_000, sentBytesPerS: 2e6 }))).toEqual([
      'hog sends 40000 packets a second',
    ])
    expect(named(load(), vm('web'), vm('hog', { sentPacketsPerS: 5_000, sentBytesPerS: 80e6 }))).toEqual([
      'hog sends 80 MB a second',
    ])
  })
})

describe('a VM is busy', () => {
  test('when it takes more than others do, and not when all compute', () => {
    expect([0.2, 0.5].map((taken) => isBusy(taken, 0.1, false))).toEqual([false, true])
    expect([0.5, 0.9].map((taken) => isBusy(taken, 0.5, false))).toEqual([false, true])
    expect(isBusy(8, 7.1, false)).toBe(false)
  })
  test('until it takes much less: others have what it had', () => {
    expect([0.2, 0.05].map((taken) => isBusy(taken, 0.1, true))).toEqual([true, false])
  })
})
