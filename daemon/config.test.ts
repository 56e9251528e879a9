import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readConfig } from './config.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'config-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

test.each([
  ['{}', 30, 60],
  ['{"defaults": {"image": "debian"}}', 30, 60],
  ['{"defaults": {"sleepAfter": 0}}', 0, 60],
  ['{"defaults": {"dozeAfter": 0}}', 30, 0],
])(
  'with a configuration of %s, VMs sleep after %i minutes and doze after %i seconds',
  async (text, sleepAfter, dozeAfter) => {
    const path = join(folder, 'config.json')
    await writeFile(path, text)
    expect((await readConfig(path)).defaults).toMatchObject({ sleepAfter, dozeAfter })
  },
)

test.each([
  ['{"port": 0}', '"port" must be at least 1, not 0.'],
  ['{"port": "many"}', '"port" must be a whole number, not "many".'],
  ['{"web": {"http": 70000}}', '"web.http" must be at most 65535, not 70000.'],
  ['{"nonsense": 1}', 'it has no "nonsense".'],
  ['[]', 'it must be an object, not [].'],
  ['{', 'it is not JSON: '],
])('a configuration of %s is refused in plain words', async (text, says) => {
  const path = join(folder, 'config.json')
  await writeFile(path, text)
  await expect(readConfig(path)).rejects.toMatchObject({
    code: 'state-damaged',
    message: expect.stringContaining(`${path} can't be used: ${says}`),
  })
})
