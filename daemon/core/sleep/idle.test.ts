import { expect, test } from 'vitest'
import type { Vm } from '../../store/index.ts'
import type { Box } from '../box.ts'
import { Live } from '../live.ts'
import { UsageTracker } from '../usage.ts'
import { dozeSeconds, signOfUse, sleepsAt, timeToSleep, used } from './idle.ts'

const at = new Date('2026-11-24T22:00:00Z')

test('a VM goes to sleep its minutes after its last use', () => {
  const use = { why: 'a web request', at, now: false }
  expect(timeToSleep(30, use)).toEqual(new Date('2026-11-24T22:30:00Z'))
  expect(timeToSleep(0.05, use)).toEqual(new Date('2026-11-24T22:00:03Z'))
})

test('it does not while it is in use, when it is set to never sleep, and when its use is unknown', () => {
  expect(timeToSleep(30, { why: 'CPU 40 %', at, now: true })).toBeNull()
  expect(timeToSleep(0, { why: 'a web request', at, now: false })).toBeNull()
  expect(timeToSleep(30, undefined)).toBeNull()
})

test('a VM dozes after the box’s time, and never when it never sleeps', () => {
  const use = { why: 'a web request', at, now: false }
  const dozesAt = (sleepAfter: number, dozeAfter: number) => timeToSleep(dozeSeconds(sleepAfter, dozeAfter) / 60, use)
  expect(dozesAt(30, 60)).toEqual(new Date('2026-11-24T22:01:00Z'))
  expect(dozesAt(30, 2)).toEqual(new Date('2026-11-24T22:00:02Z'))
  expect(dozesAt(0, 60)).toBeNull()
  expect(dozesAt(30, 0)).toBeNull()
})

test('an appointment leaves the time at which a VM that dozed goes to sleep, or takes five minutes; one that was woken sleeps after those', () => {
  let ms = at.getTime()
  const usage = new UsageTracker(
    () => true,
    () => ms,
    () => new Date(ms),
  )
  const vm = { id: 'a', uuid: 'a', phase: 'ready', memory: null, dozing: false, sleepAfter: null } as unknown as Vm
  const live = new Live()
  live.apply({ type: 'started', uuid: 'a', reason: 'booted' })
  live.mark('a', { ready: true })
  const box = { usage, live, settings: { defaults: { sleepAfter: 30 } } } as unknown as Box
  const sleepsIn = () => (sleepsAt(box, vm)!.getTime() - at.getTime()) / 60_000
  usage.note('a', 'a web request')
  for (const [minute, expected] of [
    [10, 30],
    [20, 30],
    [28, 33],
  ] as const) {
    ms = at.getTime() + minute * 60_000
    usage.noteErrand('a', 'it went on for mail.timer', usage.usedAt('a'))
    expect(sleepsIn()).toBe(expected)
  }
  usage.noteErrand('a', 'woken for mail.timer')
  expect(sleepsIn()).toBe(33)
  ms += 60_000
  usage.note('a', 'a web request')
  expect(sleepsIn()).toBe(59)
})

test('a connection or more than 5 % of a CPU counts as use, and is put into words', () => {
  expect(signOfUse({ ports: [], cpuPercent: undefined, most: 5 })).toBeUndefined()
  expect(signOfUse({ ports: [], cpuPercent: 2.2, most: 5 })).toBeUndefined()
  expect(signOfUse({ ports: [], cpuPercent: 5, most: 5 })).toBeUndefined()
  expect(signOfUse({ ports: [], cpuPercent: 40.4, most: 5 })).toBe('CPU 40 %')
  expect(signOfUse({ ports: [8080], cpuPercent: 40, most: 5 })).toBe('a connection to port 8080')
  expect(signOfUse({ ports: [8080, 22], cpuPercent: 40, most: 5 })).toBe('an SSH session')
})

test('idle connections of the daemon do not count as use', () => {
  expect(used([22, 8080, 22], 0)).toEqual([22, 8080, 22])
  expect(used([22, 8080, 22], 1)).toEqual([8080, 22])
  expect(used([22, 22], 3)).toEqual([])
})
