import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Backup } from '../interfaces/backup-store.ts'
import { isDue, isOverdue, surplus } from './plan.ts'

const at = (text: string): Backup => ({
  id: text,
  of: { vm: 'vm_a', name: 'web' },
  instance: 'i',
  at: `${text}:00.000Z`,
})
const ids = (backups: readonly Backup[]) => backups.map(({ id }) => id)

describe('backups that need not be kept', () => {
  // Monday is 2026-11-23 and 2026-11-30.
  const all = [
    '2026-09-30T10:00',
    '2026-10-01T10:00',
    '2026-11-22T10:00',
    '2026-11-23T10:00',
    '2026-11-29T10:00',
    '2026-11-30T09:00',
    '2026-11-30T10:00',
  ].map(at)

  test('are all but the newest of each day, week and month', () => {
    expect(ids(surplus(all, { daily: 2, weekly: 0, monthly: 0 }))).toEqual(ids([...all.slice(0, 4), all[5]!]))
    expect(ids(surplus(all, { daily: 0, weekly: 3, monthly: 0 }))).toEqual(ids([all[0]!, all[1]!, all[3]!, all[5]!]))
    expect(ids(surplus(all, { daily: 0, weekly: 0, monthly: 3 }))).toEqual(ids([all[2]!, all[3]!, all[4]!, all[5]!]))
    expect(ids(surplus(all, { daily: 0, weekly: 0, monthly: 0 }))).toEqual(ids(all.slice(0, -1)))
  })

  test('are never the newest, and are found once and for all', () => {
    const times = fc.uniqueArray(
      fc.date({ min: new Date('2025-01-01'), max: new Date('2027-01-01'), noInvalidDate: true }),
      {
        minLength: 1,
        selector: Number,
      },
    )
    const counts = fc.record({ daily: fc.nat(9), weekly: fc.nat(9), monthly: fc.nat(9) })
    fc.assert(
      fc.property(times, counts, (dates, keep) => {
        const backups = dates
          .map((date) => date.toISOString())
          .toSorted()
          .map((iso) => ({ ...at(iso), at: iso }))
        const old = surplus(backups, keep)
        expect(old).not.toContain(backups.at(-1))
        expect(backups.length - old.length).toBeLessThanOrEqual(Math.max(1, keep.daily + keep.weekly + keep.monthly))
        const kept = backups.filter((each) => !old.includes(each))
        expect(surplus(kept, keep)).toEqual([])
      }),
    )
  })
})

describe('a backup', () => {
  const minute = 60_000
  const now = Date.parse('2026-11-30T12:00:00Z')
  const record = (minutesAgo: number, error: string | null = null) => {
    const triedAt = new Date(now - minutesAgo * minute).toISOString()
    return { at: error ? null : triedAt, addedBytes: 0, bytes: 0, triedAt, error, provenAt: null }
  }

  test('is due when there is none, and an interval after the last one was begun', () => {
    expect(isDue(undefined, 60, 0, now)).toBe(true)
    expect(isDue(record(59), 60, 0, now)).toBe(false)
    expect(isDue(record(60), 60, 0, now)).toBe(true)
  })

  test('that failed is tried again after a minute, then after longer, but no longer than the interval', () => {
    const waits = [1, 2, 3, 4, 20].map((failed) => {
      for (let minutes = 0; ; minutes++) if (isDue(record(minutes, 'full'), 30, failed, now)) return minutes
    })
    expect(waits).toEqual([1, 2, 4, 8, 30])
  })

  test('is due when the clock was set back', () => {
    expect(isDue(record(-5), 60, 0, now)).toBe(true)
  })

  test('is overdue when there is none for twice the interval, from when the VM was made', () => {
    const made = new Date(now - 300 * minute).toISOString()
    expect(isOverdue(record(119), made, 60, now)).toBe(false)
    expect(isOverdue(record(121), made, 60, now)).toBe(true)
    expect(isOverdue(record(1, 'full'), made, 60, now)).toBe(true)
    expect(isOverdue(undefined, made, 160, now)).toBe(false)
  })
})
