import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { type Croft, startCroft } from '../lib/croft.ts'
import { deep, sample } from '../lib/deep.ts'
import { must } from '../lib/program.ts'

/** VMs that go to sleep by themselves, here after 3 seconds without use, and what keeps them awake. */
let croft: Croft
beforeAll(async () => {
  croft = await startCroft({ config: { defaults: { sleepAfter: 0.05 } } })
  using events = await croft.events()
  await croft.do('new', 'web')
  await croft.do('exec', 'web', 'echo kept > /dev/shm/kept')
  await asleep(events, 'web')
  await croft.do('cp', 'web', 'other')
}, 600_000)
afterAll(() => croft?.[Symbol.asyncDispose]())

type Events = Awaited<ReturnType<Croft['events']>>
const asleep = (events: Events, name: string) =>
  events
    .until((event) => event.type === 'vm.state' && event.name === name && event.state === 'asleep', 120_000)
    .catch(async ({ message }) => {
      throw new Error(`${message}\n${JSON.stringify(await croft.ask('stat', { vm: name }))}`)
    })
const inState = (state: string) => croft.do('ls', '-q', '--state', state)

/** Resolves at the program's first output. */
async function heard(program: ChildProcess): Promise<string> {
  const [chunk] = await once(program.stdout!, 'data')
  return String(chunk)
}

/** Connects to the VM without the daemon. */
async function sshPast(): Promise<ChildProcess> {
  const vm = await croft.ask('show', { vm: 'web' })
  const options = { IdentityFile: `${croft.folder}/keys/daemon_ed25519`, StrictHostKeyChecking: 'no' }
  const known = { UserKnownHostsFile: '/dev/null', LogLevel: 'ERROR', BatchMode: 'yes' }
  const flags = Object.entries({ ...options, ...known }).flatMap(([key, value]) => ['-o', `${key}=${value}`])
  return spawn('ssh', ['-F', 'none', ...flags, `dev@${vm.address}`, 'echo in; sleep 1000'])
}

test('an unused VM is asleep, and wakes with its memory when somebody enters it', async () => {
  expect(await inState('asleep')).toBe('other\nweb\n')
  expect(await must('virsh', ['-q', 'list', '--name'])).not.toContain((await croft.ask('show', { vm: 'web' })).id)
  expect(await croft.do('exec', 'web', 'cat /dev/shm/kept')).toBe('kept\n')
  expect(await inState('awake')).toBe('web\n')
})

const sessions: [string, () => ChildProcess | Promise<ChildProcess>][] = [
  ['croft exec', () => spawn(process.execPath, ['daemon/cli.ts', 'exec', 'web', 'echo in; sleep 1000'], cli())],
  ['an SSH session', sshPast],
]
test.each(sample(sessions, sessions[1]!))('%s keeps it awake for as long as it lasts', async (why, open) => {
  await croft.do('wake', 'web')
  const session = await open()
  expect(await heard(session)).toBe('in\n')
  using events = await croft.events()
  // `other` is used after the session began: by the time it sleeps, `web` would have been due long ago.
  await croft.do('wake', 'other')
  await asleep(events, 'other')
  expect(await inState('awake')).toBe('web\n')
  expect((await croft.ask('stat', { vm: 'web' })).use).toMatchObject({ why, now: true })
  expect(await croft.do('stat', 'web')).toMatch(new RegExp(`awake +${why}\n`))
  session.kill()
  await once(session, 'exit')
  await asleep(events, 'web')
})

const cli = () => ({ env: { ...process.env, CROFT_SOCKET: croft.socket } })

test.runIf(deep)('so does a program that computes', async () => {
  await croft.do('exec', 'web', 'timeout 60 sh -c "while :; do :; done" > /dev/null 2>&1 &')
  await vi.waitFor(async () => expect((await croft.ask('stat', { vm: 'web' })).use.why).toMatch(/^CPU \d+ %$/), {
    timeout: 30_000,
    interval: 500,
  })
  using events = await croft.events()
  await croft.do('exec', 'web', 'pkill timeout')
  await asleep(events, 'web')
})

test('sleeping VMs are asleep after the daemon was killed, and wake right', async () => {
  expect(await inState('asleep')).toBe('other\nweb\n')
  const before = await croft.state()
  await croft.kill('SIGKILL')
  await croft.start()
  expect(await inState('asleep')).toBe('other\nweb\n')
  const { vms, memories } = await croft.state()
  expect(vms).toEqual(before.vms)
  expect(Object.keys(memories)).toEqual(Object.keys(before.memories))
  const woken = ['web', 'other'].map((name) => croft.do('exec', name, 'hostname; cat /dev/shm/kept'))
  expect(await Promise.all(woken)).toEqual(['web\nkept\n', 'other\nkept\n'])
})

test.runIf(deep)('VMs that run are left alone by a daemon that was killed, and sleep later', async () => {
  await croft.do('wake', 'web')
  await croft.kill('SIGKILL')
  await croft.start()
  using events = await croft.events()
  expect(await inState('awake')).toContain('web\n')
  await asleep(events, 'web')
  expect(await croft.do('exec', 'web', 'cat /dev/shm/kept')).toBe('kept\n')
})

test('each VM may have a policy of its own', async () => {
  using events = await croft.events()
  expect(await croft.do('sleep', 'web', '--after', 'never')).toBe('web never goes to sleep by itself.\n')
  await croft.do('wake', 'other')
  await asleep(events, 'other')
  expect(await inState('awake')).toBe('web\n')
  expect(await croft.do('stat', 'web')).toMatch(/awake +it never goes to sleep by itself\n/)
  expect(await croft.do('sleep', 'web', '--after', '10')).toBe('web goes to sleep after being idle for 10 min.\n')
  expect(await croft.do('stat', 'web')).toMatch(/awake +used just now \(.*\); sleeps in 10 min\n/)
  expect(await croft.run(['sleep', 'web', '--after', 'soon'])).toMatchObject({ code: 2 })
  expect(await croft.do('sleep', 'web', '--after', 'default')).toBe(
    'web goes to sleep after being idle for 3 s, the default on this box.\n',
  )
  await asleep(events, 'web')
})
