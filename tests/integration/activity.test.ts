import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Entry } from '../../daemon/activity/index.ts'
import { type Croft, startCroft } from '../lib/croft.ts'

/** The log records who did what, whichever way they came, and leaves out their secrets. */
let croft: Croft
beforeAll(async () => {
  croft = await startCroft({ recipes: join(import.meta.dirname, 'fixtures/recipes'), image: false })
  await croft.do('image', 'build', 'tiny')
}, 120_000)
afterAll(() => croft?.[Symbol.asyncDispose]())

const activity = async (...args: string[]): Promise<Entry[]> =>
  JSON.parse(await croft.do('activity', '--json', ...args)).entries

test('a command line is logged with its author, its VM and its outcome', async () => {
  await croft.do('new', 'web', '--image', 'tiny', '--stopped')
  await croft.run(['rm', 'nobody', '--yes'])
  await croft.do('ls')
  const [made, failed, ...more] = (await activity()).slice(-2)
  expect(made).toMatchObject({
    by: { kind: 'user', name: 'root' },
    from: { way: 'box' },
    command: 'new',
    what: 'croft new web --image tiny --stopped',
    vms: [{ name: 'web' }],
    result: 'done',
  })
  expect(failed).toMatchObject({
    what: 'croft rm nobody',
    result: 'failed',
    code: 'not-found',
    says: 'No VM called "nobody".',
  })
  expect(more).toEqual([])
})

test('a token appears by its name, sees only entries of its own VM, and its refused attempts are logged', async () => {
  await croft.do('new', 'other', '--image', 'tiny', '--stopped')
  const token = (
    await croft.do('token', 'new', '--name', 'agent', '--vm', 'web', '--commands', 'activity,comment')
  ).split('\n')[0]!
  const call = (name: string, body: object) =>
    croft.request({
      method: 'POST',
      path: `/api/commands/${name}`,
      body: JSON.stringify(body),
      tcp: true,
      headers: { authorization: `Bearer ${token}` },
    })
  expect((await call('comment', { vm: 'web', text: 'mine' })).status).toBe(200)
  expect((await call('rm', { vm: 'other', yes: true })).status).toBe(403)
  const seen = JSON.parse((await call('activity', {})).text).entries as Entry[]
  expect(seen.map(({ what }) => what)).toEqual([
    'croft new web --image tiny --stopped',
    'croft token new --vm web --commands activity,comment --name agent',
    'croft comment web mine',
  ])
  const refused = (await activity('--failed')).at(-1)
  expect(refused).toMatchObject({ by: { kind: 'token', name: 'agent' }, from: { way: 'api' }, result: 'refused' })
  expect(await readFile(join(croft.folder, 'activity.jsonl'), 'utf8')).not.toContain(token)
})

test('a question without an answer is not logged as an action', async () => {
  const before = (await activity()).length
  const refused = await croft.run(['rm', 'other'])
  expect(refused.stderr).toContain('--yes')
  expect(await activity()).toHaveLength(before)
})

test('values of variables, scripts and keys are not in it', async () => {
  await croft.do('new', 'quiet', '--image', 'tiny', '--stopped', '--env', 'PASSWORD=hunter2', '--env', 'TOKEN=sesame')
  await croft.run(['key', 'add', '-', '--name', 'laptop'])
  expect((await activity('quiet')).map(({ what }) => what)).toEqual([
    'croft new quiet --image tiny --env PASSWORD=… --env TOKEN=… --stopped',
  ])
  expect(await readFile(join(croft.folder, 'activity.jsonl'), 'utf8')).not.toMatch(/hunter2|sesame/)
})

test('it is there after the daemon was killed, and of a VM that is gone', async () => {
  await croft.do('rm', 'quiet', '--yes')
  await croft.kill('SIGKILL')
  await croft.start()
  expect((await activity('quiet')).at(-1)).toMatchObject({ what: 'croft rm quiet', result: 'done' })
  expect((await croft.run(['activity', 'never'])).code).toBe(3)
})
