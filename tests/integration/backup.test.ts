import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type Croft, startCroft } from '../lib/croft.ts'
import { must } from '../lib/program.ts'

/** Backups that leave the box, and come back. The target is a folder; restic does the same for every kind of target. */
let croft: Croft
let target: string
let key: string
beforeAll(async () => {
  target = await mkdtemp('/srv/croft-backup-')
  croft = await startCroft({ image: 'bare' })
}, 600_000)
afterAll(async () => {
  await croft?.[Symbol.asyncDispose]()
  await rm(target, { recursive: true, force: true })
})

const inside = (name: string, script: string) => croft.peek(name, script)
const enter = (name: string, script: string) => croft.do('exec', name, script)
const stateOf = async (name: string) => (await croft.ask('show', { vm: name })).state
const remove = async (...names: string[]) => {
  for (const name of names) await croft.do('rm', name, '--yes')
}
/** What only a backup or a restore has while it is under way. */
const leftovers = async () => {
  const { checkpoints, ...state } = await croft.state()
  const operations = Object.values(state.operations).filter(({ kind }) => kind === 'adopt')
  const building = await readdir(join(croft.folder, 'building')).catch(() => [])
  return { operations, building, copies: Object.values(checkpoints).filter(({ kind }) => kind === 'copy') }
}
const nothing = { operations: [], building: [], copies: [] }

describe('a target', () => {
  test('is chosen once, and its key is shown until there are backups', async () => {
    expect(await croft.do('backup', 'to')).toContain('no place for backups yet')
    const early = await croft.run(['backup', 'now'])
    expect(early).toMatchObject({ code: 5, stderr: expect.stringContaining('croft backup to') })
    const said = await croft.do('backup', 'to', `${target}/own`)
    expect(said).toContain('That is on the disk of the VMs')
    key = /recovery key {3}([a-z2-7]{5}(-[a-z2-7]{5}){7})\n/.exec(said)![1]!
    expect(await croft.do('backup', 'to')).toBe(`Backups go to ${target}/own.\n${said.split('\n\n').at(-1)}`)
    // As long as there is no backup, nothing is lost that somebody has not kept.
    expect(await croft.do('backup', 'to', `${target}/own`)).toContain(`recovery key   ${key}\n`)
    // It is in no place that goes into a backup of the box.
    const places = (await must('grep', ['-rlF', key, croft.folder])).trim().split('\n')
    expect(places.filter((path) => !path.startsWith(`${croft.folder}/backup/target.json`))).toEqual([])
    expect((await must('stat', ['-c', '%a %U', `${croft.folder}/backup/target.json`])).trim()).toBe('600 root')
  })

  test('of another box is used only with its key', async () => {
    const other = join(target, 'other')
    const env = { ...process.env, RESTIC_PASSWORD: 'of-another-box' }
    await must('restic', ['-r', other, 'init'], { env })
    expect(await croft.run(['backup', 'to', other])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('--key'),
    })
    const file = join(target, 'key.txt')
    await writeFile(file, 'a-wrong-one\n')
    expect(await croft.run(['backup', 'to', other, '--key', file])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('does not open the backups'),
    })
    await writeFile(file, 'of-another-box\n')
    expect(await croft.do('backup', 'to', other, '--key', file)).toContain(`Backups go to ${other}.\n`)
    expect(await croft.run(['backup', 'to', `${target}/nothing`, '--key', file])).toMatchObject({ code: 3 })
    // The first one again, which the box has left, needs the key that was shown.
    expect(await croft.run(['backup', 'to', `${target}/own`])).toMatchObject({ code: 1 })
    await writeFile(file, `${key}\n`)
    await croft.do('backup', 'to', `${target}/own`, '--key', file)
  })

  test('that makes no sense is refused', async () => {
    for (const words of [
      ['backup'],
      ['s3:bucket'],
      ['rest:https://me:secret@host/'],
      ['/tmp/x'],
      ['/mnt/x', '--user', 'me'],
    ])
      expect(await croft.run(['backup', 'to', ...words]), words.join(' ')).toMatchObject({ code: 2 })
    const missing = await croft.run(['backup', 'to', 'sftp:croft@127.0.0.1:/nowhere'])
    expect(missing).toMatchObject({ code: 5, stderr: expect.stringMatching(/can't be used|does not let the box in/) })
    expect(await croft.do('backup', 'to')).toContain(`Backups go to ${target}/own.\n`)
  })
})

describe('a backup', () => {
  beforeAll(async () => {
    await croft.do('new', 'web', '--env', 'TOKEN=abc', '--tag', 'prod')
    await inside('web', 'head -c 20000000 /dev/urandom > big; echo first > note; sync')
    await croft.do('backup', 'now')
    expect(await croft.do('backup', 'to', `${target}/own`)).not.toContain(key)
  })
  afterEach(async () => {
    expect(await leftovers()).toEqual(nothing)
  })

  test('sends only what is new', async () => {
    await inside('web', 'head -c 200000 /dev/urandom >> big; echo second > note; sync')
    const { backups } = await croft.ask('backup-now', { vms: ['web'] })
    expect(backups).toEqual([expect.objectContaining({ vm: 'web', error: null })])
    expect(backups[0].addedBytes).toBeLessThan(backups[0].bytes * 0.05)
    const { backups: all } = await croft.ask('backup-ls', { vm: 'web' })
    expect(all).toHaveLength(2)
    const { states } = await croft.ask('backup-ls')
    expect(states.map(({ vm, error }: { vm: string; error: string }) => [vm, error])).toEqual([
      ['web', null],
      [null, null],
    ])
  })

  test('comes back as another VM, of then and of now', async () => {
    const [first] = (await croft.ask('backup-ls', { vm: 'web' })).backups
    await croft.do('backup', 'restore', 'web', first.id, '--as', 'then')
    await croft.do('backup', 'restore', 'web', '--as', 'now')
    expect(await inside('then', 'cat note; hostname')).toBe('first\nthen\n')
    expect(await inside('now', 'cat note; md5sum < big')).toBe(await inside('web', 'cat note; md5sum < big'))
    expect(await croft.ask('show', { vm: 'then' })).toMatchObject({ tags: ['prod'], env: { TOKEN: 'abc' } })
    await remove('then', 'now')
  })

  test('takes its VM back, which can be undone', async () => {
    await inside('web', 'echo third > note; sync')
    const said = await croft.do('backup', 'restore', 'web')
    expect(await inside('web', 'cat note')).toBe('second\n')
    const [, undo] = /undo {3}croft restore web (\S+)/.exec(said)!
    await croft.do('restore', 'web', undo!)
    expect(await inside('web', 'cat note')).toBe('third\n')
    // The same backup is the same checkpoint.
    await croft.do('backup', 'restore', 'web')
    const { checkpoints } = await croft.ask('checkpoint-ls', { vm: 'web' })
    expect(checkpoints.filter(({ kind }: { kind: string }) => kind === 'backup')).toHaveLength(1)
  })

  test('wakes nobody', async () => {
    await croft.do('new', 'still', '--stopped')
    await croft.do('new', 'sleeper')
    await inside('sleeper', 'echo asleep > note; sync')
    await croft.do('sleep', 'sleeper')
    await croft.do('backup', 'now', 'still', 'sleeper')
    expect([await stateOf('still'), await stateOf('sleeper')]).toEqual(['stopped', 'asleep'])
    // It sleeps on in its memory, and nothing of it is lost.
    await croft.do('backup', 'restore', 'sleeper', '--as', 'woken')
    expect(await inside('woken', 'cat note')).toBe('asleep\n')
    expect(await enter('sleeper', 'cat note')).toBe('asleep\n')
    await remove('still', 'sleeper', 'woken')
  })

  test('has a database that is being written', async () => {
    await croft.do('new', 'db')
    await inside(
      'db',
      `cat > write.py <<'END'
import sqlite3
database = sqlite3.connect("work.db", isolation_level=None)
database.execute("create table t (k integer primary key, v text)")
while True:
    database.execute("begin")
    for _ in range(50): database.execute("insert into t (v) values (hex(randomblob(200)))")
    database.execute("commit")
END
nohup python3 write.py > /dev/null 2>&1 &
until [ -s work.db ]; do sleep 0.1; done`,
    )
    for (let round = 0; round < 2; round++) await croft.do('backup', 'now', 'db')
    await croft.do('backup', 'restore', 'db', '--as', 'again')
    const look = `python3 -c 'import sqlite3
database = sqlite3.connect("work.db")
print(database.execute("pragma integrity_check").fetchone()[0], database.execute("select count(*) % 50 from t").fetchone()[0])'`
    expect(await inside('again', look)).toBe('ok 0\n')
    await remove('db', 'again')
  })

  test('of a VM that is gone brings it back', async () => {
    await croft.do('new', 'lost')
    await inside('lost', 'echo here > note; sync')
    await croft.do('checkpoint', 'auto', 'lost', 'daily=3')
    // Its agent does not answer: the backup is then as of a power cut, which its file system survives.
    await croft.do('exec', 'lost', '--user', 'root', 'pkill -STOP qemu-ga')
    await croft.do('backup', 'now', 'lost')
    await remove('lost')
    expect(await croft.do('backup', 'ls')).toMatch(/Of VMs that are gone:\n(.*\n)+\S+ +lost /)
    await croft.do('backup', 'restore', 'lost')
    expect(await inside('lost', 'cat note')).toBe('here\n')
    expect(await croft.ask('checkpoint-auto', { vm: 'lost' })).toMatchObject({ daily: 3 })
    await remove('lost')
  })

  test('is proven to come back', async () => {
    const before = await croft.do('ls', '-q')
    expect(await croft.do('backup', 'prove', 'web')).toMatch(/^The backup of web of .* UTC came back, in /)
    expect(await croft.do('ls', '-q')).toBe(before)
    const { states } = await croft.ask('backup-ls')
    expect(states[0]).toMatchObject({ vm: 'web', provenAt: expect.any(String) })
  })

  test('can be checked, and removed', async () => {
    expect(await croft.do('backup', 'check', '--read', '100%')).toContain('are whole; 100 % of the data was read back')
    const [first, ...others] = (await croft.ask('backup-ls', { vm: 'web' })).backups
    await croft.do('backup', 'rm', 'web', first.id, '--yes')
    expect((await croft.ask('backup-ls', { vm: 'web' })).backups).toEqual(others)
    expect(await croft.run(['backup', 'restore', 'web', first.id, '--as', 'x'])).toMatchObject({ code: 3 })
    expect(await croft.run(['backup', 'restore', 'nobody'])).toMatchObject({ code: 3 })
  })
})

describe('cut off', () => {
  test('in the middle of a backup, nothing is left of it, and the next one is complete', async () => {
    await inside('web', 'head -c 100000000 /dev/urandom > more; sync')
    const making = croft.run(['backup', 'now', 'web'])
    await expect.poll(async () => (await leftovers()).copies.length, { timeout: 30_000, interval: 20 }).toBe(1)
    await croft.kill()
    await making
    await croft.start()
    await croft.do('backup', 'now', 'web')
    expect(await leftovers()).toEqual(nothing)
    expect(await croft.do('backup', 'check')).toContain('are whole')
  })

  test.each(['adopt.place', 'adopt.end'])('at %s, a restore has never been', async (point) => {
    await croft.do('new', 'brief')
    await croft.do('backup', 'now', 'brief')
    await remove('brief')
    const before = Object.keys((await croft.state()).layers)
    expect(await croft.cutAt(point, 'backup', 'restore', 'brief')).toMatchObject({ code: 5 })
    expect(await leftovers()).toEqual(nothing)
    expect(Object.keys((await croft.state()).layers)).toEqual(before)
    await croft.do('backup', 'restore', 'brief')
    await remove('brief')
  })
})
