import { rename, writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import type { Checkpoint } from '../../daemon/store/index.ts'
import { type Croft, startCroft } from '../lib/croft.ts'
import { deep } from '../lib/deep.ts'

/**
 * Checkpoints by the clock. The clock of the box can't be moved here; when checkpoints were taken, as the store remembers
 * it, can. The daemon looks what is due when it starts, at one VM after the other: first at `rests`.
 */
let croft: Croft
beforeAll(async () => {
  croft = await startCroft({ image: 'bare' })
  await croft.do('new', 'rests', '--stopped')
  await croft.do('new', 'runs')
}, 600_000)
afterAll(() => croft?.[Symbol.asyncDispose]())

const patience = { timeout: 90_000, interval: 200 }
const day = (ago: number) => new Date(Date.now() - ago * 86_400_000).toISOString().slice(0, 10)
const label = ({ label }: { label: string }) => label

async function checkpoints(vm: string, kind: string): Promise<any[]> {
  const { checkpoints } = await croft.ask('checkpoint-ls', { vm })
  return checkpoints.filter((each: { kind: string }) => each.kind === kind)
}

/** The scheduled checkpoint that is taken today. */
const taken = (vm: string) =>
  vi.waitFor(async () => {
    const [found] = (await checkpoints(vm, 'scheduled')).filter(({ createdAt }) => createdAt.startsWith(day(0)))
    expect(found).toBeDefined()
    return found
  }, patience)

/** Restarts the daemon with other checkpoints in its store: it looks what is due. */
async function restart(change: (checkpoint: Checkpoint) => Partial<Checkpoint> = () => ({})): Promise<void> {
  await croft.kill('SIGTERM')
  const state = await croft.state()
  for (const checkpoint of Object.values(state.checkpoints)) Object.assign(checkpoint, change(checkpoint))
  await writeFile(`${croft.folder}/state.json`, JSON.stringify(state))
  await croft.start()
}

test('a schedule is set, shown, and refused when it makes no sense', async () => {
  expect(await croft.do('checkpoint', 'auto', 'runs')).toBe('No checkpoints of runs are taken by the clock.\n')
  expect(await croft.do('checkpoint', 'auto', 'runs', 'hourly=2', 'daily=2')).toBe(
    'runs keeps a checkpoint of each of the latest 2 hours and the latest 2 days.\n',
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
