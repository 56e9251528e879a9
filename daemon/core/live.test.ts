import { expect, test } from 'vitest'
import { Live } from './live.ts'
import { vmState } from './vm/state.ts'

const uuid = 'u'
const state = (live: Live, dozing = false) => vmState({ phase: 'ready', memory: null, dozing }, live.get(uuid))

test('a VM goes from stopped to awake and back, as events tell', () => {
  const live = new Live()
  const seen: string[] = [state(live)]
  const step = (act: () => void) => {
    act()
    seen.push(state(live))
  }
  step(() => live.apply({ type: 'started', uuid, reason: 'booted' }))
  step(() => live.apply({ type: 'agent', uuid, connected: true }))
  step(() => live.mark(uuid, { ready: true }))
  step(() => live.apply({ type: 'paused', uuid, reason: 'user' }))
  step(() => live.apply({ type: 'resumed', uuid, reason: 'unpaused' }))
  step(() => live.apply({ type: 'rebooted', uuid }))
  step(() => live.apply({ type: 'agent', uuid, connected: true }))
  step(() => live.mark(uuid, { stopping: true }))
  step(() => live.apply({ type: 'stopped', uuid, how: 'shutdown', reason: 'shutdown' }))
  step(() => live.apply({ type: 'stopped', uuid, how: 'crashed', reason: 'panicked' }))
  expect(seen).toEqual([
    'stopped',
    'starting',
    'starting',
    'awake',
    'paused',
    'awake',
    'starting',
    'awake',
    'stopping',
    'stopped',
    'crashed',
  ])
})

test.each([
  ['paused', 'dozing'], // as the event has it
  ['user', 'dozing'], // as a listing has it
  ['unknown', 'dozing'],
  ['io-error', 'paused'],
  ['watchdog', 'paused'],
])('a VM that the store says dozes, paused for the reason %s, is %s', (reason, expected) => {
  const live = new Live()
  live.apply({ type: 'started', uuid, reason: 'booted' })
  live.apply({ type: 'agent', uuid, connected: true })
  live.mark(uuid, { ready: true })
  expect(state(live, true)).toBe('awake')
  live.apply({ type: 'paused', uuid, reason })
  expect(state(live, true)).toBe(expected)
  expect(state(live)).toBe('paused')
  live.apply({ type: 'stopped', uuid, how: 'powered-off', reason: 'destroyed' })
  expect(state(live, true)).toBe('stopped')
})

test('the phase of a VM that is being made or deleted takes precedence', () => {
  const live = new Live()
  live.apply({ type: 'started', uuid, reason: 'booted' })
  expect(vmState({ phase: 'making', memory: null, dozing: false }, live.get(uuid))).toBe('making')
  expect(vmState({ phase: 'leaving', memory: null, dozing: false }, live.get(uuid))).toBe('leaving')
})

test('a listing corrects missed events, and keeps what only the daemon knows', () => {
  const live = new Live()
  live.apply({ type: 'started', uuid, reason: 'booted' })
  live.apply({ type: 'agent', uuid, connected: true })
  live.replace([{ uuid, state: 'running', agent: true }])
  expect(state(live)).toBe('starting') // nobody has told it who it is yet
  live.mark(uuid, { ready: true })
  live.replace([{ uuid, state: 'running', agent: true }])
  expect(state(live)).toBe('awake')
  live.replace([])
  expect(state(live)).toBe('stopped')
})

test('waiting ends by the event, by the time limit, or by the signal', async () => {
  const live = new Live()
  const up = live.waitFor(uuid, (now) => now?.domain === 'running', 1000)
  live.apply({ type: 'started', uuid, reason: 'booted' })
  expect(await up).toMatchObject({ domain: 'running' })
  await expect(live.waitFor(uuid, (now) => now?.agent === true, 5)).rejects.toMatchObject({ code: 'timed-out' })
  const abort = new AbortController()
  const waiting = live.waitFor(uuid, (now) => now?.agent === true, 1000, abort.signal)
  abort.abort()
  await expect(waiting).rejects.toMatchObject({ code: 'cancelled' })
})
