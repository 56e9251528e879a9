import { appendFile, mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { entryOf } from './entry.ts'
import { ActivityFile } from './file.ts'
import { Activity, croft, type Entry, type Note } from './index.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'croft-activity-'))
})
afterEach(() => rm(folder, { recursive: true }))

const silent = { log: { warn() {} }, heard() {} }
const note = (what: string, more: Partial<Note> = {}): Note => ({ ...croft, what, ...more })
const what = (entries: readonly Entry[]) => entries.map((each) => each.what)
async function all(file: ActivityFile): Promise<string[]> {
  const found: Entry[] = []
  for await (const entry of file.newestFirst()) found.push(entry)
  return what(found)
}

test('what was written is read back, oldest first, even after a restart', async () => {
  const first = await Activity.open(folder, silent)
  await first.note(note('one'))
  await first.note(note('two', { result: 'failed', code: 'conflict', says: 'There is one.' }))
  await first.close()
  const again = await Activity.open(folder, silent)
  await again.note(note('three'))
  const { entries, more } = await again.read({ limit: 10 })
  expect(entries.map(({ id }) => id)).toEqual([1, 2, 3])
  expect([what(entries), more]).toEqual([['one', 'two', 'three'], false])
  expect(what((await again.read({ limit: 10, failed: true })).entries)).toEqual(['two'])
  expect(what((await again.read({ limit: 10, find: 'There CONFLICT' })).entries)).toEqual(['two'])
  expect(await again.read({ limit: 1, before: 3 })).toMatchObject({ entries: [{ what: 'two' }], more: true })
  await again.close()
})

test('a line that was cut off, or is not Croft’s, is skipped', async () => {
  const path = join(folder, 'activity.jsonl')
  const file = new ActivityFile(folder)
  await file.append(entryOf(note('one'), 1, new Date()))
  await file.close()
  await appendFile(path, `not JSON\n{"id":7}\n${'x'.repeat(300_000)}\n{"id":2,"what":"cut of`)
  const again = new ActivityFile(folder)
  await again.append(entryOf(note('three'), 3, new Date()))
  expect(await all(again)).toEqual(['three', 'one'])
  await again.close()
})

test('there are never more than two files, however much happens', async () => {
  const file = new ActivityFile(folder, 10_000)
  for (let i = 0; i < 200; i++) await file.append(entryOf(note(`thing ${i}`), i, new Date()))
  const found = await all(file)
  expect(found[0]).toBe('thing 199')
  expect(found.length).toBeGreaterThan(20)
  for (const name of ['activity.jsonl', 'activity.old.jsonl'])
    expect((await stat(join(folder, name))).size).toBeLessThanOrEqual(10_000)
  await file.close()
})

test('an entry is one line of bounded length, without Croft’s secrets and hiding characters', async () => {
  const activity = await Activity.open(folder, silent)
  await activity.note(
    note(`a\nb\u202e\u0000 croft_BehkK7IJRKwBMwPFGbSg http://x/?code=s3cret&to=/ ${'long '.repeat(1000)}`, {
      from: { way: 'web', address: '1'.repeat(1000), agent: 'M'.repeat(10_000) },
    }),
  )
  await activity.close()
  const text = await readFile(join(folder, 'activity.jsonl'), 'utf8')
  expect(text.split('\n')).toHaveLength(2)
  expect(text.length).toBeLessThan(1_200)
  expect(text).not.toMatch(/BehkK|s3cret|\u202e/)
  expect(JSON.parse(text).what).toMatch(/^a b … http:\/\/x\/\?code=…&to=\/ long/)
})

test('equal entries, over and over, are counted', async () => {
  vi.useFakeTimers()
  const activity = await Activity.open(folder, silent)
  for (let i = 0; i < 500; i++) await activity.note(note('tried a link', { from: null }))
  expect((await activity.read({ limit: 1000 })).entries).toHaveLength(20)
  await activity.note(note('another'))
  vi.advanceTimersByTime(11 * 60_000)
  vi.useRealTimers()
  await vi.waitFor(async () => {
    const { entries } = await activity.read({ limit: 1000 })
    expect(entries.map(({ count }) => count).reduce((sum, count) => sum + count)).toBe(501)
    expect(entries).toHaveLength(22)
  })
  await activity.close()
})

test('an entry that can’t be written harms nothing, and the problem is logged once', async () => {
  const warn = vi.fn()
  const activity = await Activity.open(folder, { log: { warn }, heard() {} })
  await activity.close()
  await activity.note(note('one'))
  await activity.note(note('two'))
  expect(warn).toHaveBeenCalledTimes(1)
})

test('entries that are new enough are found beyond those written while the clock was set back', async () => {
  const file = new ActivityFile(folder)
  const times = ['2026-01-05T10:00:00Z', '2026-01-04T10:00:00Z', '2026-01-05T10:20:00Z']
  for (const [i, time] of times.entries()) await file.append(entryOf(note(`thing ${i}`), i, new Date(time)))
  await file.close()
  const activity = await Activity.open(folder, silent)
  const { entries } = await activity.read({ limit: 10, since: new Date('2026-01-05T09:30:00Z') })
  expect(what(entries)).toEqual(['thing 0', 'thing 2'])
  await activity.close()
})
