import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { digestOf } from '../../lib/secret.ts'
import { openStore, type Store } from '../../store/index.ts'
import { Sessions } from './sessions.ts'

let folder: string
let store: Store
let now: Date
let steadyMs: number
let sessions: Sessions
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'croft-sessions-'))
  store = await openStore(folder)
  now = new Date('2026-01-01T00:00:00Z')
  steadyMs = 0
  sessions = new Sessions(
    store,
    () => now,
    () => steadyMs,
  )
})
afterEach(async () => {
  await store.close()
  await rm(folder, { recursive: true, force: true })
})
const browser = { agent: 'curl', from: '192.0.2.1' }
/** Sets the clock, without time passing. */
const step = (count: number) => (now = new Date(now.getTime() + count * 60_000))
const minutes = (count: number) => {
  steadyMs += count * 60_000
  step(count)
}

test('a code gives one session, for its host only, within 10 minutes', async () => {
  const code = sessions.makeCode('web.localhost')
  expect(await sessions.redeem('other.localhost', code, browser)).toBeUndefined()
  const token = await sessions.redeem('web.localhost', code, browser)
  expect(sessions.find('web.localhost', digestOf(token!))).toMatchObject({ host: 'web.localhost' })
  expect(sessions.find('other.localhost', digestOf(token!))).toBeUndefined()
  expect(await sessions.redeem('web.localhost', code, browser)).toBeUndefined()
  const late = sessions.makeCode('web.localhost')
  minutes(11)
  expect(sessions.isCode('web.localhost', late)).toBe(false)
  expect(await sessions.redeem('web.localhost', late, browser)).toBeUndefined()
})

test('a session ends after 30 days, and when all are ended', async () => {
  const token = await sessions.redeem('web.localhost', sessions.makeCode('web.localhost'), browser)
  minutes(29 * 24 * 60)
  expect(sessions.find('web.localhost', digestOf(token!))).toBeDefined()
  minutes(2 * 24 * 60)
  expect(sessions.find('web.localhost', digestOf(token!))).toBeUndefined()
  const next = await sessions.redeem('web.localhost', sessions.makeCode('web.localhost'), browser)
  expect(Object.keys(store.state.sessions)).toHaveLength(1) // expired sessions are dropped
  await sessions.endAll()
  expect(sessions.find('web.localhost', digestOf(next!))).toBeUndefined()
})

test('a session outlives the daemon, and its token is nowhere in the store', async () => {
  const token = await sessions.redeem('web.localhost', sessions.makeCode('web.localhost'), browser)
  await store.close()
  expect(await readFile(join(folder, 'state.json'), 'utf8')).not.toContain(token)
  store = await openStore(folder)
  expect(new Sessions(store, () => now).find('web.localhost', digestOf(token!))).toBeDefined()
})

test('unused codes are evicted', () => {
  const first = sessions.makeCode('web.localhost')
  for (let i = 0; i < 1000; i++) sessions.makeCode('web.localhost')
  expect(sessions.isCode('web.localhost', first)).toBe(false)
})

test('a sign-in keeps twenty sessions per host name, and there are a thousand sign-ins: the oldest are evicted', async () => {
  const enter = (host: string, signIn?: string) => sessions.redeem(host, sessions.makeCode(host, signIn), browser)
  const found = (host: string, token: string | undefined) => sessions.find(host, digestOf(token!))
  const first = found('croft.localhost', await enter('croft.localhost'))!
  const tabs = []
  for (let i = 0; i < 21; i++) tabs.push(await enter('web.localhost', first.id))
  const other = await enter('other.localhost', first.id)
  expect(tabs.map((token) => found('web.localhost', token) !== undefined)).toEqual([false, ...Array(20).fill(true)])
  await Promise.all(Array.from({ length: 999 }, () => enter('croft.localhost')))
  expect(sessions.signIns()).toHaveLength(1000)
  expect(found('other.localhost', other)).toBeDefined()
  await enter('croft.localhost')
  expect(sessions.signIns()).toHaveLength(1000)
  expect(found('other.localhost', other)).toBeUndefined()
  expect(Object.keys(store.state.sessions)).toHaveLength(1000)
})

test.each([-1, 1])('a code lasts 10 minutes even when the clock is set by %i days in between', (days) => {
  const code = sessions.makeCode('web.localhost')
  step(days * 24 * 60)
  minutes(9)
  expect(sessions.isCode('web.localhost', code)).toBe(true)
  minutes(2)
  expect(sessions.isCode('web.localhost', code)).toBe(false)
})
