import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { Vm } from '../../store/index.ts'
import type { Box } from '../box.ts'
import { Live } from '../live.ts'
import { UsageTracker } from '../usage.ts'
import { parseSubnet } from '../vm/identity.ts'
import { connectionsQuestion } from './guest-answer.ts'
import { askConnected, dueSoon, inquire, noteStay, ownConnection, staysAwake } from './inquire.ts'

const now = Date.parse('2026-11-30T12:00:00Z')
beforeEach(() => void vi.useFakeTimers({ now }))
afterEach(() => void vi.useRealTimers())

/** A box with one VM that is awake. @param say what it answers; an error when it does not */
function boxOf(say: () => string, more: Partial<Vm> = {}) {
  const vm = { id: 'a', uuid: 'a', name: 'web', ip: '10.77.0.5', phase: 'ready', memory: null, keepsAppointments: true }
  const live = new Live()
  live.apply({ type: 'started', uuid: 'a', reason: 'booted' })
  live.mark('a', { ready: true })
  const logged: object[] = []
  const asked: number[] = []
  const questions: string[] = []
  const box = {
    ...{ live, usage: new UsageTracker(() => true), settings: { subnet: parseSubnet('10.77.0.0/16') } },
    store: { state: { vms: { a: { ...vm, ...more } } } },
    guests: {
      async script(_: string, script: string) {
        asked.push(Date.now() - now)
        questions.push(script)
        return { code: 0, stdout: say(), stderr: '' }
      },
    },
    log: { warn: (details: object) => logged.push(details) },
  } as unknown as Box
  return { box, vm: box.store.state.vms.a!, logged, asked, questions }
}

const dueIn = (minutes: number) => `@@ at\n1\t${now / 1000 + minutes * 60} a root\n`
const connected = '@@ sockets\n   1: 05004D0A:9C40 04030201:01BB 01 0\n'
const answerOf = ({ box, vm }: ReturnType<typeof boxOf>) => inquire(box, vm)

test('a guest that does not answer, or answers nonsense, has nothing due, and is logged once until it answers', async () => {
  let says = () => '@@ timers\nnonsense\n'
  const all = boxOf(() => says())
  const none = { appointment: null, connection: undefined }
  expect([await answerOf(all), await answerOf(all)]).toEqual([
    expect.objectContaining(none),
    expect.objectContaining(none),
  ])
  says = () => {
    throw new Error('no agent')
  }
  expect(await answerOf(all)).toMatchObject(none)
  expect(all.logged).toHaveLength(1)
  says = () => dueIn(60)
  expect((await answerOf(all)).appointment?.what).toBe('an at job of root')
  says = () => '@@ timers\nnonsense\n'
  await answerOf(all)
  expect(all.logged).toHaveLength(2)
})

test('a guest that is not asked any more does not hold anybody up', async () => {
  const { box, vm } = boxOf(() => dueIn(60))
  box.guests.script = () => new Promise(() => {})
  const nobody = new AbortController()
  const answer = inquire(box, vm, nobody.signal)
  nobody.abort()
  expect((await answer).appointment).toBeNull()
})

test('a VM without appointments has none, but is in use by its connections, and is asked for those alone', async () => {
  const all = boxOf(() => dueIn(60) + connected, { keepsAppointments: false })
  expect(await answerOf(all)).toMatchObject({ appointment: null, connection: '1.2.3.4:443' })
  expect(all.questions).toEqual([connectionsQuestion])
})

test('something due within five minutes keeps a VM awake for these, and only that', async () => {
  const all = boxOf(() => dueIn(2))
  const { box, vm } = all
  expect(noteStay(box, vm, await answerOf(all), true)).toBe(true)
  expect([dueSoon(box, vm)?.what, staysAwake(box, 'a')]).toEqual(['an at job of root', true])
  await vi.advanceTimersByTimeAsync(299_000)
  expect([dueSoon(box, vm)?.what, staysAwake(box, 'a')]).toEqual(['an at job of root', true])
  await vi.advanceTimersByTimeAsync(2_000)
  expect([dueSoon(box, vm), staysAwake(box, 'a')]).toEqual([null, false])
  expect(noteStay(box, vm, await inquire(boxOf(() => dueIn(11)).box, vm), true)).toBe(false)
  expect(noteStay(box, vm, await answerOf(all), false)).toBe(false)
})

test('a connection to the outside is use, looked for once a minute until it has ended', async () => {
  let says = connected
  const all = boxOf(() => says)
  const { box, vm, asked, questions } = all
  expect(noteStay(box, vm, await answerOf(all), true)).toBe(true)
  const poll = async (seconds: number) => {
    for (let i = 0; i < seconds / 10; i++) {
      await vi.advanceTimersByTimeAsync(10_000)
      await askConnected(box)
      const why = ownConnection(box, 'a')
      box.usage.see(new Map(why === undefined ? [] : [['a', why]]))
    }
  }
  await poll(300)
  expect(box.usage.of('a')).toMatchObject({ why: 'connected to 1.2.3.4:443', now: true })
  expect(asked.length).toBeGreaterThan(4)
  expect(asked.length).toBeLessThanOrEqual(6)
  expect(new Set(questions.slice(1))).toEqual(new Set([connectionsQuestion]))
  says = ''
  await poll(70)
  expect(box.usage.of('a')).toMatchObject({ why: 'connected to 1.2.3.4:443', now: false })
  const before = asked.length
  await poll(300)
  expect(asked.length).toBe(before)
})
