import { describe, expect, test } from 'vitest'
import { nextRun, type OffsetAt, offsetsOf, parseLine, parseTimes } from './cron.ts'

const utc = () => 0
const next = (times: string, after: string, offsetAt: OffsetAt = utc) => {
  const at = nextRun(parseTimes(times)!, Date.parse(after), offsetAt)
  return at === undefined ? undefined : new Date(at).toISOString().slice(0, 16)
}

describe('a line is due', () => {
  // 2026-11-30 is a Monday.
  test.each([
    ['* * * * *', '2026-11-30T12:00:30Z', '2026-11-30T12:01'],
    ['* * * * *', '2026-11-30T12:00:00Z', '2026-11-30T12:01'],
    ['0 3 * * *', '2026-11-30T03:00:00Z', '2026-12-01T03:00'],
    ['*/20 * * * *', '2026-11-30T12:20:01Z', '2026-11-30T12:40'],
    ['10-40/15,55 4 * * *', '2026-11-30T04:26:00Z', '2026-11-30T04:40'],
    ['5 4 1 jan *', '2026-11-30T00:00:00Z', '2027-01-01T04:05'],
    ['0 9 * * mon-fri', '2026-11-27T09:00:00Z', '2026-11-30T09:00'],
    ['0 9 * * 7', '2026-11-30T00:00:00Z', '2026-12-06T09:00'],
    ['0 9 * * 5-7', '2026-12-05T10:00:00Z', '2026-12-06T09:00'],
    ['0 0 13 * FRI', '2026-11-30T00:00:00Z', '2026-12-04T00:00'],
    ['0 0 */2 * FRI', '2026-11-30T00:00:00Z', '2026-12-11T00:00'],
    ['0 0 31 12 *', '2026-12-31T00:00:00Z', '2027-12-31T00:00'],
    ['0 0 30 2 *', '2026-11-30T00:00:00Z', undefined],
    ['59 23 * * *', '2026-12-31T23:59:00Z', '2027-01-01T23:59'],
  ])('%s after %s: %s', (times, after, at) => {
    expect(next(times, after)).toBe(at)
  })
})

test.each([
  ['17 *\t* * *\troot\tcd / && run-parts', 'root\tcd / && run-parts'],
  ['@daily backup', 'backup'],
  ['  0 0 * * * x', 'x'],
])('the line %j has a command', (line, rest) => {
  expect(parseLine(line)?.rest).toBe(rest)
})

test.each([
  '',
  '# 0 0 * * * x',
  'MAILTO=me',
  'PATH = /bin',
  '@reboot x',
  '@never x',
  '@constructor x',
  '0 0 * * *',
  '60 0 * * * x',
  '0 24 * * * x',
  '0 0 0 * * x',
  '0 0 * 13 * x',
  '0 0 * * 8 x',
  '5/10 * * * * x',
  '*/0 * * * * x',
  '9-5 * * * * x',
  '1,,2 * * * * x',
  '-1 * * * * x',
  '0 0 * nov-xyz * x',
  '1e1 * * * * x',
  `${'1,'.repeat(9)}x * * * * x`,
])('the line %j is none', (line) => {
  expect(parseLine(line)).toBeUndefined()
})

describe('in a zone', () => {
  const berlin = offsetsOf('Europe/Berlin', 60, Date.parse('2026-11-30T00:00:00Z'))
  test.each([
    ['0 3 * * *', '2026-11-30T12:00:00Z', '2026-12-01T02:00'],
    // Summer time begins on 2027-03-28 at 01:00 UTC, when 02:00 becomes 03:00.
    ['0 1 * * *', '2027-03-27T12:00:00Z', '2027-03-28T00:00'],
    ['30 2 * * *', '2027-03-27T12:00:00Z', '2027-03-28T00:30'],
    ['0 5 * * *', '2027-03-27T12:00:00Z', '2027-03-28T03:00'],
    // It ends on 2027-10-31 at 01:00 UTC, when 03:00 becomes 02:00.
    ['30 2 * * *', '2027-10-30T12:00:00Z', '2027-10-31T00:30'],
    ['50 * * * *', '2027-10-31T00:55:00Z', '2027-10-31T01:50'],
    ['0 5 * * *', '2027-10-30T12:00:00Z', '2027-10-31T04:00'],
  ])('%s after %s: %s', (times, after, at) => {
    expect(next(times, after, berlin)).toBe(at)
  })

  test('the offset that the guest tells stays where the name of the zone is unknown or disagrees', () => {
    const now = Date.parse('2026-11-30T00:00:00Z')
    for (const zone of ['', 'Nowhere/Land', '../../etc/passwd', 'Europe/Berlin']) {
      expect(offsetsOf(zone, 330, now)(now + 200 * 86_400_000)).toBe(330)
    }
  })
})

test('the next run is the first later minute that fits', () => {
  let seed = 7
  const random = (below: number) => {
    seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31
    return seed % below
  }
  for (let round = 0; round < 200; round++) {
    const [minute, hour] = [random(60), random(24)]
    const every = 1 + random(40)
    const times = random(2) ? `*/${every} ${hour} * * *` : `${minute} */${1 + random(11)} * * ${random(7)}`
    const cron = parseTimes(times)!
    const after = Date.parse('2026-11-30T00:00:00Z') + random(10 * 86_400) * 1000
    const fits = (at: number) => {
      const date = new Date(at)
      return (
        cron.minutes.includes(date.getUTCMinutes()) &&
        cron.hours.includes(date.getUTCHours()) &&
        cron.weekdays.includes(date.getUTCDay())
      )
    }
    let at = Math.floor(after / 60_000) * 60_000 + 60_000
    while (!fits(at)) at += 60_000
    expect(nextRun(cron, after, utc), times).toBe(at)
  }
})
