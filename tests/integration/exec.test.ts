import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { WebSocket } from 'ws'
import { type Croft, startCroft } from '../lib/croft.ts'
import { must } from '../lib/program.ts'

/** Commands in a VM, in sequence and in parallel: they share an SSH connection, which makes no visible difference. */
let croft: Croft
beforeAll(async () => {
  croft = await startCroft()
  await croft.do('new', 'web')
}, 600_000)
afterAll(() => croft?.[Symbol.asyncDispose]())

const inside = (line: string) => croft.do('exec', 'web', line)
/** Counts the SSH connections, this command's among them. */
const connections = async () => Number(await inside('ss -Htn state established sport = :22 | wc -l'))

test('commands share a connection', async () => {
  await inside('true')
  expect(await connections()).toBe(1)
})

test('each has the rights of a new login, whatever the one before it changed', async () => {
  expect(await inside('id -nG')).not.toContain('shop')
  await inside('sudo groupadd shop && sudo usermod --append --groups shop dev')
  expect(await inside('id -nG')).toContain('shop')
  await inside('echo GREETING=hello | sudo tee /etc/environment')
  expect(await inside('echo $GREETING')).toBe('hello\n')
})

test('one that runs goes on when another gets a new connection', async () => {
  const running = inside('until [ -e changed ]; do sleep 0.1; done; sleep 1; echo end')
  await inside('sudo usermod --append --groups tty dev')
  expect(await inside('touch changed; id -nG')).toContain('tty')
  expect(await running).toBe('end\n')
})

test('any number of them run side by side, as other users too, and each has its own input and exit code', async () => {
  const runs = Array.from({ length: 20 }, async (_, i) => {
    const user = i % 5 === 0 ? ['--user', 'root'] : []
    return croft.run([...['exec', ...user, 'web'], `cat; id -un; exit ${i}`], { input: `${i} ` })
  })
  const ends = await Promise.all(runs)
  expect(ends.map(({ code, stdout }) => ({ code, stdout }))).toEqual(
    ends.map((_, i) => ({ code: i, stdout: `${i} ${i % 5 === 0 ? 'root' : 'dev'}\n` })),
  )
})

/** The peak growth of the daemon's memory while this runs, in MB. */
async function peakOf(work: () => Promise<void>): Promise<number> {
  const read = async (field: string) =>
    Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(await readFile(`/proc/${croft.pid}/status`, 'utf8'))![1])
  await writeFile(`/proc/${croft.pid}/clear_refs`, '5') // resets its peak: proc(5)
  const before = await read('VmRSS')
  await work()
  return ((await read('VmHWM')) - before) / 1000
}

test('a text that is too long for one answer is cut off, and says so', async () => {
  const peak = await peakOf(async () => {
    const { headers, text } = await croft.request({
      method: 'POST',
      path: '/api/exec',
      headers: { 'content-type': 'text/plain' },
      body: "exec web 'head -c 200000000 /dev/zero'",
    })
    expect(headers['x-croft-exit']).toBe('2')
    expect(text.replaceAll('\0', '')).toBe(
      '\nThe output was cut off here, after 8 MiB. The WebSocket at /api/exec has no such limit.\n',
    )
  })
  expect(peak).toBeLessThan(64)
})

test('a caller that does not read makes the command wait; the daemon does not buffer its output', async () => {
  const size = 100_000_000
  let heard = 0
  const peak = await peakOf(async () => {
    const socket = new WebSocket('ws://croft/api/exec', { createConnection: () => connect(croft.socket) })
    await once(socket, 'open')
    const argv = ['exec', 'web', `head -c ${size} /dev/zero; echo over >&2`]
    socket.send(JSON.stringify({ argv, terminal: null, uid: 0 }))
    const first = Promise.withResolvers<void>()
    socket.on('message', (data: Buffer) => {
      heard += data.length
      first.resolve()
    })
    await first.promise
    socket.pause()
    await delay(5000)
    socket.resume()
    await once(socket, 'close')
  })
  expect(heard).toBeGreaterThan(size)
  expect(peak).toBeLessThan(64)
})

test('a connection that was broken is opened again', async () => {
  await inside('true')
  await croft.run(['exec', 'web', 'sudo pkill -o -u dev sshd-session'])
  expect(await inside('echo back')).toBe('back\n')
})

test('a waiting connection does not count as use of the VM, and is not saved with it', async () => {
  await inside('true')
  expect((await croft.ask('stat', { vm: 'web' })).use.why).not.toContain('SSH')
  await croft.do('sleep', 'web')
  expect(await connections()).toBe(1)
})

test('a command goes on when its VM has slept amid it', async () => {
  const running = inside('touch waits; until [ -e goes ]; do sleep 0.2; done; echo end')
  await inside('until [ -e waits ]; do sleep 0.1; done')
  await croft.do('sleep', 'web')
  expect(await croft.do('ls', '-q', '--state', 'asleep')).toBe('web\n')
  await croft.do('wake', 'web')
  await inside('touch goes')
  expect(await running).toBe('end\n')
})

describe('files', () => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'files-'))
    await mkdir(join(folder, 'my site', 'empty'), { recursive: true })
    await writeFile(join(folder, 'my site', 'run me'), '#!/bin/sh', { mode: 0o750 })
    await writeFile(join(folder, 'my site', "it's"), randomBytes(300_000))
    await symlink('run me', join(folder, 'my site', 'link'))
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))
  const here = (...names: string[]) => join(folder, ...names)
  /** Finds what a transfer that was cut off may have left. */
  const leftovers = async () => [
    ...(await readdir(folder)).filter((name) => name.startsWith('.croft-')),
    ...(await inside('ls -A')).split('\n').filter((name) => name.startsWith('.croft-')),
  ]

  test('go into a VM and come back as they were: folders, modes, links, and spaces in names', async () => {
    await croft.do('push', 'web', here('my site'))
    expect(await inside('cd "my site" && stat -c "%a %n" * && readlink link')).toBe(
      "755 empty\n644 it's\n777 link\n750 run me\nrun me\n",
    )
    await croft.do('pull', 'web', 'my site/', here('back'))
    await must('diff', ['-r', '--no-dereference', here('my site'), here('back')])
    expect((await stat(here('back', 'run me'))).mode & 0o777).toBe(0o750)
    // Again: the copy adds to an existing folder and keeps what was in it.
    await inside('rm "my site/run me" && touch "my site/theirs"')
    await croft.do('push', 'web', here('my site'), '.')
    expect(await inside('ls "my site"')).toBe("empty\nit's\nlink\nrun me\ntheirs\n")
    await croft.do('push', 'web', here('my site', 'run me'), '/etc/renamed', '--user', 'root')
    expect(await inside('stat -c "%a %U" /etc/renamed')).toBe('750 root\n')
    await croft.do('pull', 'web', '/etc/hostname', folder)
    expect(await readFile(here('hostname'), 'utf8')).toBe('web\n')
    expect(await leftovers()).toEqual([])
  })

  test.each([
    [['push', 'web', '/nowhere/at all'], 1, 'There is no file or folder /nowhere/at all here.'],
    [['push', 'web', '/etc/hostname', '/nowhere/x'], 3, 'web has no folder /nowhere.'],
    [['push', 'web', '/etc/hostname', '/etc/'], 1, "It can't be written in web: "],
    [['push', 'web', '/etc/hostname', 'folder/'], 3, 'web has no folder folder/.'],
    [['pull', 'web', '/nowhere'], 3, 'web has no /nowhere.'],
    [['pull', 'web', '/etc/hostname', '/nowhere/x'], 1, 'There is no folder /nowhere here.'],
    [['pull', 'web', '/'], 2, 'it must end in the name of a file or folder'],
    [['cp', 'web:/etc/hostname', '.'], 2, 'For files: croft pull web /etc/hostname .'],
    [['cp', './my site', 'web:/srv'], 2, "For files: croft push web './my site' /srv"],
    [['scp'], 2, 'Did you mean croft push or croft pull?'],
  ])('croft %j ends with %i and says %j', async (args, code, says) => {
    expect(await croft.run(args)).toMatchObject({ code, stdout: '', stderr: expect.stringContaining(says) })
  })

  test('files from a guest reach nothing outside the target folder', async () => {
    await inside(`mkdir -p evil/deep && cd evil && echo good > good && ln -s /etc outside && ln -s ../../.. deep/above &&
      ln -s good within && sudo mknod device c 1 5 && mkfifo pipe && cp /bin/true setuid && sudo chown root setuid && sudo chmod 4755 setuid`)
    const pulled = await croft.run(['pull', 'web', 'evil', folder])
    expect(pulled).toMatchObject({
      code: 0,
      stderr: expect.stringContaining('Left out: outside, a link that leads outside.'),
    })
    expect((await readdir(here('evil'))).sort()).toEqual(['deep', 'good', 'setuid', 'within'])
    expect(await readdir(here('evil', 'deep'))).toEqual([])
    expect((await stat(here('evil', 'setuid'))).mode & 0o7777).toBe(0o755)
    // A guest with a tar of its own that sends something else than was asked for.
    await inside(`sudo mv /bin/tar /bin/real-tar && printf '#!/bin/sh\\nreal-tar -cPf - --transform "s,^.*,../../stolen," /etc/hostname\\n' |
      sudo tee /bin/tar > /dev/null && sudo chmod 755 /bin/tar`)
    const stolen = await croft.run(['pull', 'web', '/etc/hostname', here('mine')])
    await inside('sudo mv /bin/real-tar /bin/tar')
    expect(stolen).toMatchObject({ code: 1, stderr: expect.stringContaining('Nothing was copied.') })
    for (const path of [here('mine'), here('..', 'stolen')]) await expect(stat(path)).rejects.toThrow('ENOENT')
    expect(await leftovers()).toEqual([])
  })

  test('that are cut off on their way are not there in part', async () => {
    await inside('truncate -s 3G large')
    await must('truncate', ['-s', '3G', here('large')])
    for (const [args, target] of [
      [['pull', 'web', 'large', here('half')], () => stat(here('half'))],
      [['push', 'web', here('large'), 'half'], () => croft.do('exec', 'web', 'stat half')],
    ] as const) {
      expect(await croft.interrupt(3000, args)).not.toMatchObject({ code: 0 })
      await expect(target()).rejects.toThrow()
      await vi.waitFor(async () => expect(await leftovers()).toEqual([]), { timeout: 30_000, interval: 500 })
    }
  })
})

test('a command that runs when its VM is turned off ends, and says why', async () => {
  const running = croft.run(['exec', 'web', 'touch begun; sleep 1000'])
  await inside('until [ -e begun ]; do sleep 0.1; done')
  await croft.do('stop', 'web', '--grace', '0')
  expect(await running).toMatchObject({
    code: 255,
    stderr: expect.stringContaining('web stopped before the command ended'),
  })
})
