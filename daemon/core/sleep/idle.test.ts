import { expect, test } from 'vitest'
import { dozeSeconds, signOfUse, timeToSleep, used } from './idle.ts'

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

test('a VM dozes after the box’s time, and never when it is set to never sleep', () => {
  const use = { why: 'a web request', at, now: false }
  const dozesAt = (sleepAfter: number | null, byDefault: number) =>
    timeToSleep(dozeSeconds(sleepAfter, byDefault) / 60, use)
  expect(dozesAt(null, 60)).toEqual(new Date('2026-11-24T22:01:00Z'))
  expect(dozesAt(30, 2)).toEqual(new Date('2026-11-24T22:00:02Z'))
  expect(dozesAt(0, 60)).toBeNull()
  expect(dozesAt(null, 0)).toBeNull()
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
