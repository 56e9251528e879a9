import { mkdir, mkdtemp, rename, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { croft, entryOf } from './entry.ts'
import { ActivityFile } from './file.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'croft-activity-'))
})
afterEach(() => rm(folder, { recursive: true }))

const entry = (id: number) => entryOf({ ...croft, what: `thing ${id} ${'x'.repeat(200)}` }, id, new Date())
async function ids(file: ActivityFile): Promise<number[]> {
  const found: number[] = []
  for await (const { id } of file.newestFirst()) found.push(id)
  return found
}

test('only its owner can read it', async () => {
  const file = new ActivityFile(folder)
  await file.append(entry(1))
  expect((await stat(join(folder, 'activity.jsonl'))).mode & 0o777).toBe(0o600)
  await file.close()
})

test('it goes on when somebody has removed the file', async () => {
  const file = new ActivityFile(folder, 2_000)
  for (let i = 1; i <= 3; i++) await file.append(entry(i))
  await rename(join(folder, 'activity.jsonl'), join(folder, 'elsewhere'))
  for (let i = 4; i <= 20; i++) await file.append(entry(i))
  expect((await ids(file)).slice(0, 3)).toEqual([20, 19, 18])
  await file.close()
})

test('it goes on when a file could not be made for a while, at first and at a rotation', async () => {
  const path = join(folder, 'activity.jsonl')
  await mkdir(path)
  const file = new ActivityFile(folder, 2_000)
  await expect(file.append(entry(1))).rejects.toThrow('EISDIR')
  await rm(path, { recursive: true })
  for (let i = 2; i <= 4; i++) await file.append(entry(i))
  await mkdir(join(folder, 'activity.old.jsonl'))
  const refused: number[] = []
  for (let i = 5; i <= 10; i++) await file.append(entry(i)).catch(() => refused.push(i))
  expect(refused.length).toBeGreaterThan(0)
  await rm(join(folder, 'activity.old.jsonl'), { recursive: true })
  await file.append(entry(11))
  const [newest, ...older] = await ids(file)
  expect(newest).toBe(11)
  expect(older.at(-1)).toBe(2)
  await file.close()
})
