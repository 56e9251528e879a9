import { spawnSync } from 'node:child_process'
import { describe, expect, test } from 'vitest'
import { earliest, parseAnswer, question } from './guest-answer.ts'

const now = Date.parse('2026-11-30T12:00:00Z')
const at = (iso: string) => Date.parse(iso) * 1000
const own = ['10.77.0.1/16']
const parts = (all: Record<string, string>) =>
  Object.entries(all)
    .map(([name, text]) => `@@ ${name}\n${text}\n\n`)
    .join('')
const answer = (all: Record<string, string>) => parseAnswer(parts(all), own, now)
const appointment = (all: Record<string, string>) => answer(all).appointment
const none = { appointment: null, connection: undefined, wrong: undefined }

const timers = JSON.stringify([
  { next: at('2026-11-30T12:15:00Z'), left: 1, last: 0, passed: 0, unit: 'poll.timer', activates: 'poll.service' },
  { next: at('2026-11-30T13:00:00Z'), left: 1, last: 0, passed: 0, unit: 'fstrim.timer', activates: 'fstrim.service' },
  {
    next: at('2026-12-01T03:00:00Z'),
    left: 1,
    last: 0,
    passed: 0,
    unit: 'certbot.timer',
    activates: 'certbot.service',
  },
  { next: null, left: null, last: null, passed: null, unit: 'off.timer', activates: 'off.service' },
])
const calendars = `TimersCalendar={ OnCalendar=*-*-* 03:00:00 ; next_elapse=Tue 2026-12-01 03:00:00 UTC }
Id=certbot.timer

Id=poll.timer

Id=fstrim.timer
TimersCalendar={ OnCalendar=weekly ; next_elapse=Mon 2026-12-07 00:00:00 UTC }`

describe('timers of systemd', () => {
  test('the earliest with a calendar counts; those that count time awake and those that tidy up do not', () => {
    expect(answer({ timers, calendars })).toEqual({
      ...none,
      appointment: { at: '2026-12-01T03:00:00.000Z', what: 'certbot.timer' },
    })
  })

  test.each([
    ['empty, though there is a systemd', ''],
    ['not JSON', '{'],
    ['cut off', timers.slice(0, -20)],
    ['an object', '{"next":1}'],
    ['with a time in words', '[{"next":"soon","unit":"a.timer"}]'],
    ['with NaN', '[{"next":NaN,"unit":"a.timer"}]'],
    ['without units', '[{"next":1}]'],
    ['of numbers', '[1,2]'],
    ['too long', JSON.stringify(Array.from({ length: 1001 }, () => ({ next: 1, unit: 'a.timer' })))],
  ])('a list that is %s is no list, and said to be wrong', (_, text) => {
    expect(answer({ timers: text, calendars: 'Id=a.timer\nTimersCalendar={ }' })).toEqual({
      ...none,
      wrong: 'the list of its timers can’t be read',
    })
  })

  test.each([0, -5, 1e300, 1.5, at('2029-01-01T00:00:00Z'), at('2026-11-30T11:59:00Z')])(
    'a timer that is due at %d µs is none',
    (next) => {
      const text = JSON.stringify([{ next, unit: 'a.timer' }])
      expect(answer({ timers: text, calendars: 'Id=a.timer\nTimersCalendar={ }' })).toEqual(none)
    },
  )

  test.each(['a\u001b[31m.timer', `${'a'.repeat(200)}.timer`, 'a b.timer', '<b>.timer', 'a.service'])(
    'the name %j is none of a timer',
    (unit) => {
      const text = JSON.stringify([{ next: at('2026-12-01T03:00:00Z'), unit }])
      expect(answer({ timers: text, calendars: `Id=${unit}\nTimersCalendar={ }` })).toEqual(none)
    },
  )
})

describe('crontabs', () => {
  const cron = (text: string, more: Record<string, string> = {}) => appointment({ cron: text, ...more })

  test('the lines of people and packages count, in the time zone of the guest', () => {
    const text =
      '@ /etc/crontab\nSHELL=/bin/sh\n# m h\n0 4 * * * root x\n\n@ /var/spool/cron/crontabs/dev\n30 3 * * * job --secret\n'
    expect(cron(text, { offset: '+0000' })).toEqual({ at: '2026-12-01T03:30:00.000Z', what: 'the crontab of dev' })
    expect(cron(text, { offset: '-0330' })?.at).toBe('2026-12-01T07:00:00.000Z')
    expect(cron(text, { offset: '+0100', zone: '/usr/share/zoneinfo/Europe/Berlin' })?.at).toBe(
      '2026-12-01T02:30:00.000Z',
    )
    expect(cron('@ /etc/cron.d/backup\n0 4 * * * root x')?.what).toBe('/etc/cron.d/backup')
  })

  test('no line of a crontab passes for anything else', () => {
    const text = '@ /var/spool/cron/crontabs/dev\n @@ timers\n @ /etc/cron.d/backup\n 0 4 * * * x\n'
    expect(answer({ timers, calendars, cron: text })).toMatchObject({ appointment: { what: 'certbot.timer' } })
    expect(cron(text)?.what).toBe('the crontab of dev')
  })

  test('files that only tidy up, or that cron leaves out, do not', () => {
    for (const name of ['e2scrub_all', 'sysstat', 'backup.dpkg-old', '.placeholder'])
      expect(cron(`@ /etc/cron.d/${name}\n0 4 * * * root x`)).toBeNull()
  })

  test('what Debian runs by the hour or the day counts if there is anything that does not tidy up', () => {
    const text =
      '@ /etc/crontab\n17 * * * * root cd / && run-parts --report /etc/cron.hourly\n25 6 * * * root test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }'
    expect(cron(text)).toBeNull()
    expect(cron(text, { scripts: '/etc/cron.daily/logrotate\n/etc/cron.daily/man-db' })).toBeNull()
    expect(cron(text, { scripts: '/etc/cron.daily/logrotate\n/etc/cron.daily/backup' })).toEqual({
      at: '2026-12-01T06:25:00.000Z',
      what: '/etc/cron.daily',
    })
  })

  test('many lines, and long ones, are bounded', () => {
    const began = performance.now()
    expect(cron(`@ /etc/crontab\n${'0 0 30 2 * root x\n'.repeat(9000)}`)).toBeNull()
    expect(cron(`@ /etc/crontab\n${'1,'.repeat(30_000)}1 * * * * x`)).toBeNull()
    expect(cron(`@ /etc/crontab\n${'* '.repeat(30_000)}`)?.what).toBeUndefined()
    expect(performance.now() - began).toBeLessThan(2000)
  })
})

test('at jobs count', () => {
  const seconds = Date.parse('2026-11-30T18:00:00Z') / 1000
  expect(appointment({ at: `3\t${seconds} a root\n4\tnever a root` })).toEqual({
    at: '2026-11-30T18:00:00.000Z',
    what: 'an at job of root',
  })
})

describe('connections', () => {
  const line = (remote: string, state = '01') => `   1: 05004D0A:9C40 ${remote} ${state} 00000000:00000000 02:000A7214`
  test('to the outside count; those of the box, to itself, and those that are not established do not', () => {
    const ours = ['0100007F:1F90', '05004D0A:1F90', '01004D0A:0016', `${'0'.repeat(24)}01000000:1F90`]
    const sockets = ours.map((each) => line(each)).join('\n')
    expect(answer({ sockets })).toEqual(none)
    expect(answer({ sockets: `${sockets}\n${line('04030201:01BB', '06')}` })).toEqual(none)
    expect(answer({ sockets: `${sockets}\n${line('04030201:01BB')}` }).connection).toBe('1.2.3.4:443')
    expect(answer({ sockets: line('0000000000000000FFFF000004030201:01BB') }).connection).toBe('1.2.3.4:443')
    expect(answer({ sockets: line('B80D0120000000000000000001000000:01BB') }).connection).toBe(
      '[2001:db8:0:0:0:0:0:1]:443',
    )
  })

  test('to its own containers do not, wherever they are', () => {
    const networks =
      '1: lo    inet 127.0.0.1/8 scope host lo\n3: docker0    inet 172.17.0.1/16 brd 172.17.255.255 scope global docker0'
    expect(answer({ networks, sockets: line('020011AC:1538') })).toEqual(none)
    expect(answer({ sockets: line('020011AC:1538') }).connection).toBe('172.17.0.2:5432')
    for (const wrong of ['1: x inet 1.2.3.4/99', '1: x inet nonsense/8', '1: x inet 1.2.3.4/x', 'x'])
      expect(answer({ networks: wrong, sockets: line('020011AC:1538') }).connection).toBe('172.17.0.2:5432')
  })

  test('nonsense is none', () => {
    for (const sockets of ['x', line('zz'), line('0:0'), line('\u001b[31m:01BB')])
      expect(answer({ sockets })).toEqual(none)
  })
})

test('an empty answer, and one without end, are no appointments', () => {
  expect(parseAnswer('', own, now)).toEqual(none)
  expect(parseAnswer('@@ timers\n'.repeat(200_000), own, now)).toEqual({ ...none, wrong: 'it is too long' })
})

test('the earliest that is still to come is chosen', () => {
  const due = [now + 3000, now - 1, now + 2000, now, Number.NaN, Number.POSITIVE_INFINITY].map((at) => ({
    at,
    what: `${at}`,
  }))
  expect(earliest(due, now)).toEqual({ at: new Date(now + 2000).toISOString(), what: `${now + 2000}` })
  expect(earliest([], now)).toBeNull()
})

test('this box can be asked: the script runs, and its answer is understood', () => {
  const { stdout, status } = spawnSync('/bin/sh', ['-s'], { input: question, encoding: 'utf8' })
  expect(status).toBe(0)
  expect(stdout).toMatch(/^@@ offset\n[+-]\d{4}\n/m)
  expect(parseAnswer(stdout, own, Date.now()).wrong).toBeUndefined()
})
