import { expect, test } from 'vitest'
import { sshSession, UsageTracker } from './usage.ts'

const always = () => true

const clock = () => {
  let now = Date.parse('2026-11-24T22:00:00Z')
  let jump = 0
  return {
    now: () => new Date(now + jump),
    steady: () => now,
    pass: (minutes: number) => (now += minutes * 60_000),
    jump: (hours: number) => (jump += hours * 3_600_000),
  }
}

test('an unused VM has no use', () => {
  expect(new UsageTracker(always).of('a')).toBeUndefined()
})

test('a noted use keeps its time', () => {
  const { now, steady, pass } = clock()
  const uses = new UsageTracker(always, steady, now)
  const then = now()
  uses.note('a', 'a web request')
  pass(3)
  expect(uses.of('a')).toEqual({ why: 'a web request', at: then, now: false })
  expect(uses.of('b')).toBeUndefined()
  uses.forget('a')
  expect(uses.of('a')).toBeUndefined()
})

test('sessions in a VM are told apart from other use', () => {
  const uses = new UsageTracker(always)
  uses.see(
    new Map([
      ['a', 'CPU 40 %'],
      ['b', sshSession],
    ]),
  )
  expect(['a', 'b', 'c'].map((id) => uses.inside(id))).toEqual([undefined, sshSession, undefined])
  uses.attend(new Map([['a', 2]]))
  expect(uses.inside('a')).toBe('2 SSH sessions')
})

test.each([24, -24])('a clock that is set by %i hours does not change how long ago a use was', (hours) => {
  const { now, steady, pass, jump } = clock()
  const uses = new UsageTracker(always, steady, now)
  uses.note('a', 'a web request')
  pass(3)
  jump(hours)
  expect(now().getTime() - uses.of('a')!.at.getTime()).toBe(3 * 60_000)
})

test('work in a VM is a use until all of it has ended, even by a failure', async () => {
  const { now, steady, pass } = clock()
  const uses = new UsageTracker(always, steady, now)
  const [one, two] = [Promise.withResolvers<string>(), Promise.withResolvers<string>()]
  const first = uses.during('a', 'croft exec', () => one.promise)
  const second = uses.during('a', 'croft cp', () => two.promise)
  pass(60)
  expect(uses.of('a')).toEqual({ why: 'croft exec', at: now(), now: true })
  one.resolve('done')
  expect(await first).toBe('done')
  expect(uses.of('a')).toMatchObject({ why: 'croft cp', now: true })
  pass(60)
  two.reject(new Error('no'))
  await expect(second).rejects.toThrow('no')
  const end = now()
  pass(5)
  expect(uses.of('a')).toEqual({ why: 'croft cp', at: end, now: false })
})

test('a use that a poll saw lasts until the next poll', () => {
  const { now, steady, pass } = clock()
  const uses = new UsageTracker(always, steady, now)
  const seen = now()
  uses.see(new Map([['a', 'CPU 40 %']]))
  expect(uses.of('a')).toMatchObject({ why: 'CPU 40 %', now: true })
  pass(1)
  uses.see(new Map([['b', 'an SSH session']]))
  expect(uses.of('a')).toEqual({ why: 'CPU 40 %', at: seen, now: false })
  expect(uses.of('b')).toMatchObject({ now: true })
})

test('nothing is kept about a deleted VM, even when work in it ends later', async () => {
  const there = new Set(['a'])
  const uses = new UsageTracker((id) => there.has(id))
  const work = Promise.withResolvers<void>()
  const over = uses.during('a', 'croft exec', () => work.promise)
  uses.attend(new Map([['a', 1]]))
  there.delete('a')
  uses.forget('a')
  uses.attend(new Map())
  work.resolve()
  await over
  expect(uses.of('a')).toBeUndefined()
})

test('a VM is on an errand until somebody uses it, whatever it does meanwhile by itself', () => {
  const { now, steady } = clock()
  const uses = new UsageTracker(always, steady, now)
  uses.noteErrand('a', 'woken for backup.timer')
  uses.see(new Map([['a', 'CPU 40 %']]))
  uses.seeOne('a', 'connected to 1.2.3.4:443')
  expect([uses.errandMs('a'), uses.of('a')?.why]).toEqual([Infinity, 'connected to 1.2.3.4:443'])
  uses.note('a', 'a web request')
  expect(uses.errandMs('a')).toBeUndefined()
})

test('a VM that goes on for one appointment after the other keeps the time of its last other use', () => {
  const { now, steady, pass } = clock()
  const uses = new UsageTracker(always, steady, now)
  uses.note('a', 'a web request')
  for (const minutes of [5, 10]) {
    pass(5)
    const usedAt = uses.usedAt('a')
    uses.note('a', 'somebody needed it')
    uses.noteErrand('a', 'it went on for mail.timer', usedAt)
    expect(uses.errandMs('a')).toBe(minutes * 60_000)
  }
  pass(1)
  uses.see(new Map([['a', 'CPU 40 %']]))
  expect(uses.errandMs('a')).toBe(11 * 60_000)
})
