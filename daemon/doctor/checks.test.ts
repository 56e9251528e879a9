import { expect, test } from 'vitest'
import { checkDisk, checkSwap } from './checks.ts'

const now = new Date('2026-11-26T12:00:00Z')
const check = (freeGB: number, fullAt?: string) =>
  checkDisk(
    { diskTotalBytes: 100e9, diskFreeBytes: freeGB * 1e9 },
    fullAt === undefined ? null : { fullAt, bytesPerDay: 9e9, range: '24h' },
    now,
  )

test('the disk is worth a look when little of it is free, or when it will be full within a week', () => {
  expect(check(50)).toEqual({ what: 'disk', state: 'fine', says: '50 GB of 100 GB free' })
  expect(check(50, '2026-12-04T12:00:00Z').state).toBe('fine')
  expect(check(50, '2026-12-02T12:00:00Z')).toMatchObject({
    state: 'look',
    says: '50 GB of 100 GB free; full in 6 days at the pace of the last day, 9.0 GB a day',
    advice: expect.stringContaining('croft box df'),
  })
  expect(check(9).state).toBe('look')
  expect(check(1, '2026-11-26T13:00:00Z').state).toBe('wrong')
})

test('a box without swap is fine, and is told how to add some', () => {
  expect(checkSwap({ total: 8e9, used: 12e6 })).toEqual({ what: 'swap', state: 'fine', says: '12 MB of 8.0 GB used' })
  expect(checkSwap({ total: 0, used: 0 })).toMatchObject({
    state: 'fine',
    says: expect.stringContaining('install.sh --swap zram'),
  })
})
