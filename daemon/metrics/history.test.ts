import { mkdir, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Range, ranges, tiers } from '../core/interfaces/metrics.ts'
import { Histories, type VmSample } from './history.ts'
import { Ring } from './ring.ts'
import { ratesOf } from './sampler.ts'

const log = pino({ level: 'silent' })
/** A whole hour. */
const start = 1_800_000_000
const known = (values: readonly (number | null)[]) => values.filter((value) => value !== null)
const only = (ring: Ring, range: Range, at: number) => ring.read(range, at).series[0]!

test('each tier has the means of its steps, up to now', () => {
  const ring = new Ring(1)
  for (let i = 0; i < 720; i++) ring.add(start + i * 10, [i < 360 ? 10 : 20])
  const now = start + 7199
  for (const range of ranges) {
    const { from, series } = ring.read(range, now)
    const { stepSeconds, slots } = tiers[range]
    expect(series[0]).toHaveLength(slots)
    expect(from + slots * stepSeconds).toBeGreaterThan(now)
    expect(from + (slots - 1) * stepSeconds).toBeLessThanOrEqual(now)
  }
  expect(known(only(ring, '1h', now))).toEqual(Array(360).fill(20))
  expect(known(only(ring, '24h', now))).toEqual([...Array(30).fill(10), ...Array(30).fill(20)])
  expect(known(only(ring, '7d', now))).toEqual([10, 10, 10, 10, 20, 20, 20, 20])
  expect(known(only(ring, '30d', now))).toEqual([10, 20])
})

test('a step is the mean of its known samples', () => {
  const ring = new Ring(2)
  ring.add(start, [null, 1])
  ring.add(start + 3, [4, 2])
  ring.add(start + 6, [8, 6])
  expect(ring.read('1h', start + 9).series.map((each) => each.at(-1))).toEqual([6, 3])
})

test('a time without measurements is a gap, and so is what a ring has from its last round', () => {
  const ring = new Ring(1)
  ring.add(start, [1])
  ring.add(start + 30, [2])
  expect(only(ring, '1h', start + 40).slice(-5)).toEqual([1, null, null, 2, null])
  const later = start + 3600 + 30 // the slots come round again
  ring.add(later, [3])
  expect(known(only(ring, '1h', later))).toEqual([3])
  expect(known(only(ring, '24h', later))).toEqual([1.5, 3])
  expect(known(only(ring, '1h', start + 90 * 86_400))).toEqual([])
})

test('when the clock is set back, measurements of later times are forgotten', () => {
  const ring = new Ring(1)
  ring.add(start, [1])
  ring.add(start + 600, [5])
  ring.add(start + 60, [2])
  expect(known(only(ring, '1h', start + 600))).toEqual([1, 2])
})

test('even when the daemon was restarted in between', () => {
  const ahead = new Ring(1)
  ahead.add(start, [1])
  ahead.add(start + 600, [5])
  const ring = new Ring(1, ahead.bytes)
  ring.add(start + 60, [2])
  expect(known(only(ring, '1h', start + 600))).toEqual([1, 2])
})

test('a slot with a wrong count of samples is no trouble', () => {
  const whole = new Ring(1)
  whole.add(start, [1])
  const at = whole.bytes.indexOf(Buffer.from(new Uint32Array([start]).buffer))
  whole.bytes.writeUInt16LE(0xffff, at + 8)
  const ring = new Ring(1, whole.bytes)
  ring.add(start + 3, [11])
  expect(only(ring, '1h', start + 3).at(-1)).toBe(2)
})

test('rates are between two measurements of one run', () => {
  const at = (n: number) => ({
    cpuTimeNs: n * 1e9,
    guestTimeNs: 0,
    residentBytes: 0,
    ownBytes: 0,
    fileBytes: 0,
    receivedBytes: n * 100,
    sentBytes: n * 200,
    sentPackets: n,
    waitedNs: 0,
    diskReadBytes: n * 300,
    diskWrittenBytes: 0,
    balloon: undefined,
  })
  const rates = {
    cpuPercent: 50,
    receivedBytesPerSecond: 50,
    sentBytesPerSecond: 100,
    diskReadBytesPerSecond: 150,
    diskWrittenBytesPerSecond: 0,
  }
  expect(ratesOf(at(10), at(5), 10)).toEqual(rates)
  for (const of of [ratesOf(at(5), at(10), 10), ratesOf(at(5), undefined, 10), ratesOf(at(10), at(5), -3)])
    expect(of).toMatchObject({ cpuPercent: null, receivedBytesPerSecond: null })
})

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'croft-history-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const date = (seconds: number) => new Date(seconds * 1000)
const sample = (cpuPercent: number): VmSample => ({
  cpuPercent,
  memoryBytes: 1e9,
  diskBytes: 2e9,
  receivedBytesPerSecond: 0,
  sentBytesPerSecond: 0,
  diskReadBytesPerSecond: 0,
  diskWrittenBytesPerSecond: 0,
})
const ringOf = (vm: string) => join(folder, 'history', `vm-${vm}.ring`)
async function cpuOf(histories: Histories, at: number) {
  return known((await histories.read({ vm: 'a' }, '1h', date(at))).series.cpuPercent!)
}

test('another daemon finds what was written, and continues it', async () => {
  const first = new Histories(folder, log)
  await first.addVm('a', date(start), sample(1))
  await first.write(date(start), new Set(['a']))
  await first.addVm('a', date(start + 10), sample(2))
  await first.write(date(start + 10), new Set(['a']))
  await first.addVm('a', date(start + 20), sample(3)) // never written
  const second = new Histories(folder, log)
  expect(await cpuOf(second, start + 20)).toEqual([1, 2])
  await second.addVm('a', date(start + 30), sample(4))
  await second.write(date(start + 30), new Set(['a']))
  expect(await cpuOf(new Histories(folder, log), start + 30)).toEqual([1, 2, 4])
  expect((await stat(ringOf('a'))).size).toBe(16 + 2472 * 46)
})

test('a file that is broken, truncated or removed starts anew', async () => {
  const first = new Histories(folder, log)
  await first.addVm('a', date(start), sample(1))
  await first.write(date(start), new Set(['a']))
  const whole = await readFile(ringOf('a'))
  for (const spoil of [
    () => truncate(ringOf('a'), 1000),
    () => truncate(ringOf('a'), 0),
    () => writeFile(ringOf('a'), Buffer.alloc(whole.length, 0xa7)),
    () => rm(ringOf('a')),
  ]) {
    await spoil()
    const next = new Histories(folder, log)
    expect(await cpuOf(next, start + 10)).toEqual([])
    await next.addVm('a', date(start + 10), sample(2))
    await next.write(date(start + 10), new Set(['a']))
    expect(await cpuOf(new Histories(folder, log), start + 10)).toEqual([2])
  }
  // With an intact header: slots with a wrong time are gaps.
  await writeFile(ringOf('a'), Buffer.concat([whole.subarray(0, 16), Buffer.alloc(whole.length - 16, 0xa7)]))
  expect(await cpuOf(new Histories(folder, log), start + 10)).toEqual([])
})

test('a file removed under the daemon is written whole again', async () => {
  const histories = new Histories(folder, log)
  await histories.addVm('a', date(start), sample(1))
  await histories.write(date(start), new Set(['a']))
  await rm(join(folder, 'history'), { recursive: true })
  await histories.addVm('a', date(start + 10), sample(2))
  await histories.write(date(start + 10), new Set(['a']))
  expect(await cpuOf(new Histories(folder, log), start + 10)).toEqual([1, 2])
})

test('what can’t be written is kept, and does not hinder others', async () => {
  const histories = new Histories(folder, log)
  await histories.addVm('b', date(start), sample(7))
  await histories.write(date(start), new Set(['a', 'b']))
  await histories.addVm('a', date(start), sample(1))
  await histories.addVm('b', date(start + 10), sample(8))
  await rm(ringOf('a'), { force: true })
  await mkdir(ringOf('a'))
  await expect(histories.write(date(start + 10), new Set(['a', 'b']))).rejects.toThrow('EISDIR')
  const other = await new Histories(folder, log).read({ vm: 'b' }, '1h', date(start + 10))
  expect(known(other.series.cpuPercent!)).toEqual([7, 8])
  await rm(ringOf('a'), { recursive: true })
  await histories.write(date(start + 20), new Set(['a', 'b']))
  expect(await cpuOf(new Histories(folder, log), start + 20)).toEqual([1])
})

test('the files of VMs that are gone are removed', async () => {
  const histories = new Histories(folder, log)
  for (const vm of ['a', 'b']) await histories.addVm(vm, date(start), sample(1))
  await histories.write(date(start), new Set(['a', 'b']))
  await histories.write(date(start), new Set(['b']))
  expect(await readdir(join(folder, 'history'))).toEqual(['vm-b.ring'])
  expect(await cpuOf(histories, start)).toEqual([])
})

test('pressure is absent where the kernel reports none', async () => {
  const histories = new Histories(folder, log)
  const box = {
    cpuPercent: 1,
    memoryUsedBytes: 1,
    diskUsedBytes: 1,
    cpuPressure: 0.5,
    memoryPressure: null,
    ioPressure: null,
  }
  await histories.addBox(date(start), box)
  const { series } = await histories.read('box', '24h', date(start))
  expect(Object.keys(series)).toEqual(['cpuPercent', 'memoryUsedBytes', 'diskUsedBytes', 'cpuPressure'])
})
