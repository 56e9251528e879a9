import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import http from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Croft, startCroft } from '../lib/croft.ts'

/** Commands in a VM, one after the other and side by side: they share an SSH connection, and nobody can tell. */
let croft: Croft
beforeAll(async () => {
  croft = await startCroft()
  await croft.do('new', 'web')
}, 600_000)
afterAll(() => croft?.[Symbol.asyncDispose]())

const inside = (line: string) => croft.do('exec', 'web', line)
/** How many SSH connections there are, this command's among them. */
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

/** How much more memory the daemon has had at once while this was done than before it, in MB. */
async function peakOf(work: () => Promise<void>): Promise<number> {
  const read = async (field: string) =>
    Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(await readFile(`/proc/${croft.pid}/status`, 'utf8'))![1])
  await writeFile(`/proc/${croft.pid}/clear_refs`, '5') // its peak begins anew: proc(5)
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
      '\nIt was cut off here, after 8 MiB. As application/x-ndjson all of it comes.\n',
    )
  })
  expect(peak).toBeLessThan(64)
})

test('a caller that does not read has the command wait, not the daemon collect what it prints', async () => {
  const size = 100_000_000
  let heard = 0
  const peak = await peakOf(async () => {
    const request = http.request({
      socketPath: croft.socket,
      method: 'POST',
      path: '/api/exec',
      headers: { 'content-type': 'application/x-ndjson' },
    })
    const argv = ['exec', 'web', `head -c ${size} /dev/zero; echo over >&2`]
    request.write(`${JSON.stringify({ argv, terminal: null, uid: 0 })}\n`)
    const [response] = (await once(request, 'response')) as [http.IncomingMessage]
    await once(response, 'readable')
    await delay(5000)
    for await (const chunk of response) heard += chunk.length
  })
  expect(heard).toBeGreaterThan((size * 4) / 3)
  expect(peak).toBeLessThan(64)
})

test('a connection that was broken is opened again', async () => {
  await inside('true')
  await croft.run(['exec', 'web', 'sudo pkill -o -u dev sshd-session'])
  expect(await inside('echo back')).toBe('back\n')
})

test('a connection that waits is no use of the VM, and not in what is saved of it', async () => {
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

test('a command that runs when its VM is turned off ends, and says why', async () => {
  const running = croft.run(['exec', 'web', 'touch begun; sleep 1000'])
  await inside('until [ -e begun ]; do sleep 0.1; done')
  await croft.do('stop', 'web', '--grace', '0')
  expect(await running).toMatchObject({
    code: 255,
    stderr: expect.stringContaining('web ended before the command did'),
  })
})
