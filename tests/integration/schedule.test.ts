import { rename, writeFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import type { Checkpoint } from '../../daemon/store/index.ts'
import { Clock } from '../lib/clock.ts'
import { type Croft, startCroft } from '../lib/croft.ts'
import { deep } from '../lib/deep.ts'

/**
 * Scheduled checkpoints, and a clock that is set. The tests move the times of checkpoints in the store, so that they
 * need not wait. The daemon checks what is due when it starts, one VM after the other, `rests` first.
 */
let croft: Croft
const clock = new Clock()
beforeAll(async () => {
  await clock.set(0)
  croft = await startCroft({ image: 'bare', env: clock.env })
  await croft.do('new', 'rests', '--stopped')
  await croft.do('new', 'runs')
}, 600_000)
afterAll(async () => {
  await croft?.[Symbol.asyncDispose]()
  await clock.remove()
})

const patience = { timeout: 90_000, interval: 200 }
const day = (ago: number) => new Date(Date.now() - ago * 86_400_000).toISOString().slice(0, 10)
const label = ({ label }: { label: string }) => label

async function checkpoints(vm: string, kind: string): Promise<any[]> {
  const { checkpoints } = await croft.ask('checkpoint-ls', { vm })
  return checkpoints.filter((each: { kind: string }) => each.kind === kind)
}

/** The scheduled checkpoint of today. */
const taken = (vm: string) =>
  vi.waitFor(async () => {
    const [found] = (await checkpoints(vm, 'scheduled')).filter(({ createdAt }) => createdAt.startsWith(day(0)))
    expect(found).toBeDefined()
    return found
  }, patience)

/** Restarts the daemon with other checkpoints in its store, so that it checks what is due. */
async function restart(change: (checkpoint: Checkpoint) => Partial<Checkpoint> = () => ({})): Promise<void> {
  await croft.kill('SIGTERM')
  const state = await croft.state()
  for (const checkpoint of Object.values(state.checkpoints)) Object.assign(checkpoint, change(checkpoint))
  await writeFile(`${croft.folder}/state.json`, JSON.stringify(state))
  await croft.start()
}

test('a schedule is set, shown, and refused when it makes no sense', async () => {
  expect(await croft.do('checkpoint', 'auto', 'runs')).toBe('runs has no checkpoint schedule.\n')
  expect(await croft.do('checkpoint', 'auto', 'runs', 'hourly=2', 'daily=2')).toBe(
    'runs keeps one checkpoint for each of the latest 2 hours and the latest 2 days.\n',
  )
  expect(await croft.ask('checkpoint-auto', { vm: 'runs' })).toEqual({ vm: 'runs', hourly: 2, daily: 2, taken: 0 })
  for (const words of [['hourly=2', 'hourly=3'], ['off', 'daily=1'], ['weekly=1']]) {
    expect(await croft.run(['checkpoint', 'auto', 'runs', ...words])).toMatchObject({ code: 2 })
  }
  await croft.do('checkpoint', 'auto', 'rests', 'daily=7')
})

test('a VM that runs gets one, with its memory, and runs on; those that are too old go', async () => {
  await croft.do('exec', 'runs', 'echo before > /dev/shm/file')
  const times = {
    c1: `${day(2)}T12:00:00.000Z`,
    c2: `${day(1)}T10:00:00.000Z`,
    c3: `${day(1)}T11:00:00.000Z`,
    c4: `${day(3)}T12:00:00.000Z`,
  }
  for (const _ of Object.keys(times)) await croft.do('checkpoint', 'runs')
  await restart((each) => {
    const createdAt = times[each.label as keyof typeof times]
    return createdAt ? { createdAt, kind: each.label === 'c4' ? 'asked' : 'scheduled' } : {}
  })
  const { label: auto, memory } = await taken('runs')
  expect(auto).toMatch(/^auto-\d{4}-\d\d-\d\d-\d{4}$/)
  expect(memory).toBe(true)
  await vi.waitFor(async () => {
    expect((await checkpoints('runs', 'scheduled')).map(label)).toEqual(['c3', auto])
  }, patience)
  expect((await checkpoints('runs', 'asked')).map(label)).toEqual(['c4'])
  await croft.do('exec', 'runs', 'echo after > /dev/shm/file')
  await croft.do('restore', 'runs', auto)
  expect(await croft.do('exec', 'runs', 'cat /dev/shm/file')).toBe('before\n')
})

test('one at rest, as it was made, got none', async () => {
  expect(await checkpoints('rests', 'scheduled')).toEqual([])
})

test('nothing falls asleep, ends, goes or is lost because the clock of the box is set', async () => {
  const signedIn = await signIn()
  const { secret } = await croft.ask('token-new', { expires: '1h' })
  const byToken = { authorization: `Bearer ${secret}` }
  await croft.do('sleep', 'runs', '--after', '600')
  const boot = () => croft.peek('runs', 'cat /proc/sys/kernel/random/boot_id')
  const labels = async () => (await checkpoints('runs', 'scheduled')).map(label)
  const [booted, scheduled] = [await boot(), await labels()]
  const { entries: before } = await croft.ask('activity', { limit: 1000 })
  const hours = [24, -24, 0]
  for (const [i, each] of hours.entries()) {
    using events = await croft.events()
    const code = await codeOf()
    await clock.set(each)
    const at = performance.now()
    await vi.waitFor(async () => expect(await said('the clock of the box was set')).toBe(i + 1), patience)
    // Sessions, tokens and codes last as long as before.
    for (const headers of [byToken, signedIn])
      expect((await request('/api/commands/ls', headers, '{}')).status).toBe(200)
    expect((await enter(code)).status).toBe(303)
    const [token] = (await croft.ask('token-ls')).tokens
    const leftMs = Date.parse(token.expiresAt) - clock.now()
    expect(leftMs).toBeGreaterThan(3_000_000)
    expect(leftMs).toBeLessThan(3_600_000)
    // The time until a VM sleeps is the same as before, and the VM's start is still as recent.
    const { sleepsAt, since } = await croft.ask('stat', { vm: 'runs' })
    expect((Date.parse(sleepsAt ?? clock.now() + 600 * 60_000) - clock.now()) / 60_000).toBeCloseTo(600, -1)
    expect(Math.abs(clock.now() - Date.parse(since))).toBeLessThan(600_000)
    await vi.waitFor(async () => {
      expect(Math.abs(Number(await croft.peek('runs', 'date +%s')) * 1000 - clock.now())).toBeLessThan(3_000)
    }, patience)
    // The undo of a restore exists, and works.
    await croft.peek('runs', `echo ${i} > /dev/shm/file`)
    const undo = (await croft.do('restore', 'runs', scheduled.at(-1)!)).trim().split(' ').at(-1)!
    expect(await croft.peek('runs', 'cat /dev/shm/file')).toBe('before\n')
    await croft.do('restore', 'runs', undo)
    expect(await croft.peek('runs', 'cat /dev/shm/file')).toBe(`${i}\n`)
    // After an idle check, and in a deep run also a check of what is due:
    await delay(at + (deep ? 65_000 : 11_000) - performance.now())
    expect(await boot()).toBe(booted)
    expect(events.seen.filter(({ state }) => state === 'asleep')).toEqual([])
    expect(await labels()).toEqual(scheduled)
  }
  const { entries } = await croft.ask('activity', { limit: 1000 })
  expect(entries.slice(0, before.length)).toEqual(before)
  expect(entries.map(({ id }: { id: number }) => id)).toEqual(entries.map((_: unknown, i: number) => i + 1))
  const { entries: lately } = await croft.ask('activity', { limit: 1000, since: '1h' })
  expect(lately.map(({ what }: { what: string }) => what)).toEqual(
    expect.arrayContaining(before.map(({ what }: { what: string }) => what)),
  )
  const sets = (await croft.do('activity')).match(/(?<=the clock of the box was set ).*?(?= *$)/gm)
  expect(sets).toEqual(['24 h ahead', '48 h back', '24 h ahead'])
  // While it was restored, there was nothing to measure.
  await vi.waitFor(async () => {
    const { history } = await croft.ask('stat', { vm: 'runs', range: '1h' })
    expect(history.series.memoryBytes.some((value: number | null) => value !== null)).toBe(true)
  }, patience)
  // The limit on failed sign-ins holds.
  for (let i = 0; i < 10; i++) await enter('x'.repeat(43))
  for (const each of [24, 0]) {
    await clock.set(each)
    expect((await enter(await codeOf())).status).toBe(429)
  }
})

const said = async (what: string) => (await croft.log()).split(what).length - 1

/** The answer to a client at the daemon's own port. */
function request(path: string, headers: Record<string, string>, body: string) {
  const host = `localhost:${croft.port}`
  const own = { host, origin: `http://${host}` }
  return croft.request({ method: 'POST', tcp: true, path, headers: { ...own, ...headers }, body })
}

const form = { 'content-type': 'application/x-www-form-urlencoded' }
const enter = (code: string) => request('/login', form, `code=${code}`)

/** The single-use code of a sign-in link. */
const codeOf = async () => (await croft.ask('login')).local.split('=').at(-1)

/** @returns headers of a browser that is signed in */
async function signIn(): Promise<Record<string, string>> {
  const { headers } = await enter(await codeOf())
  return { cookie: headers['set-cookie']![0]!.split(';')[0]! }
}

test.runIf(deep)('one at rest gets one when its disk has changed, and no other before it changes again', async () => {
  await croft.do('start', 'rests')
  await croft.do('exec', 'rests', 'echo kept > file; sync')
  await croft.do('stop', 'rests')
  await restart()
  const { label: only, memory } = await taken('rests')
  expect(memory).toBe(false)
  await restart(({ kind }) => (kind === 'scheduled' ? { createdAt: `${day(1)}T12:00:00.000Z` } : {}))
  await taken('runs')
  expect((await checkpoints('rests', 'scheduled')).map(label)).toEqual([only])
})

test.runIf(deep)(
  'one that can not be taken is said once, however often it is tried; nor does it hold up the others',
  async () => {
    const { vms, layers } = await croft.state()
    const disk = `${croft.folder}/${layers[Object.values(vms).find(({ name }) => name === 'rests')!.disk]!.file}`
    await rename(disk, `${croft.folder}/disk`)
    await croft.do('checkpoint', 'auto', 'runs', 'off')
    await restart(({ kind }) => (kind === 'scheduled' ? { createdAt: `${day(1)}T12:00:00.000Z` } : {}))
    const said = async () => (await croft.log()).split('a scheduled checkpoint was not taken').length - 1
    await vi.waitFor(async () => expect(await said()).toBe(1), patience)
    using events = await croft.events()
    await croft.do('checkpoint', 'auto', 'runs', 'daily=1')
    await taken('runs')
    expect(await said()).toBe(1)
    expect(events.seen.filter(({ type }) => type === 'box.warning')).toEqual([])
    await rename(`${croft.folder}/disk`, disk)
    await croft.do('start', 'rests')
    expect(await croft.do('exec', 'rests', 'cat file')).toBe('kept\n')
  },
)
