import { readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { dozeFaultPoints } from '../../daemon/core/sleep/doze.ts'
import { type Croft, startCroft } from '../lib/croft.ts'
import { deep } from '../lib/deep.ts'
import { must } from '../lib/program.ts'
import { qemuPid } from '../lib/qemu.ts'
import { KeyMaker } from '../lib/ssh-keys.ts'

/** VMs that stand still while nobody uses them. `web` is set never to sleep, so that it dozes only when it is told to. */
let croft: Croft
beforeAll(async () => {
  croft = await startCroft({ image: 'bare', config: { defaults: { sleepAfter: 600, dozeAfter: 2 } } })
  await croft.do('new', 'web')
  await croft.do('sleep', 'web', '--after', 'never')
  await croft.do('exec', 'web', 'echo kept > /dev/shm/kept')
}, 600_000)
afterAll(() => croft?.[Symbol.asyncDispose]())

/** After a failed test the daemon may be down, or `web` off; each test starts with both up. */
beforeEach(async () => {
  if (!croft.running) await croft.start()
  await croft.do('start', 'web')
})

const wait = { timeout: 60_000, interval: 100 }
const stateOf = async (name = 'web'): Promise<string> => (await croft.ask('show', { vm: name })).state
const domainOf = async (name = 'web') => `croft-${(await croft.ask('show', { vm: name })).id}`
const recordOf = async (name = 'web') => Object.values((await croft.state()).vms).find((vm) => vm.name === name)!
const kept = () => croft.do('exec', 'web', 'cat /dev/shm/kept')

async function doze(): Promise<void> {
  expect(await croft.do('sleep', 'web', '--doze')).toBe('web is dozing.\n')
  expect(await stateOf()).toBe('dozing')
}

/** CPU time of a process, in seconds: fields 14 and 15 of /proc/<pid>/stat. */
async function cpuSeconds(pid: number): Promise<number> {
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).replace(/^.*\) /, '').split(' ')
  return (Number(fields[11]) + Number(fields[12])) / 100
}

/** Waits until the guest's clock is right, within 0.2 s. The clock is set in the background, without anybody waiting. */
async function clockIsRight(): Promise<void> {
  await vi.waitFor(async () => {
    const before = Date.now()
    const said = Number(await croft.peek('web', 'date +%s.%N')) * 1000
    expect(said).toBeGreaterThan(before - 200)
    expect(said).toBeLessThan(Date.now() + 200)
  }, wait)
}

test('a VM that nobody uses dozes by itself and takes no CPU; one that is set never to sleep stays awake', async () => {
  await croft.do('cp', 'web', 'idle')
  using events = await croft.events()
  await croft.do('exec', 'idle', 'true')
  await events.until(({ type, name, state }) => type === 'vm.state' && name === 'idle' && state === 'dozing', 180_000)
  expect(await stateOf()).toBe('awake')
  expect(await must('virsh', ['-q', 'domstate', await domainOf('idle')])).toBe('paused\n')
  expect(await croft.do('ls')).toMatch(/^idle +dozing .*MB/m)
  expect(await croft.do('stat', 'idle')).toMatch(/dozing +used .*; sleeps in \d+ (min|h)\n/)
  expect((await croft.ask('doctor')).checks).toContainEqual(expect.objectContaining({ what: 'VMs', state: 'fine' }))
  const pid = await qemuPid(await recordOf('idle'))
  const before = await cpuSeconds(pid)
  await delay(5000)
  const took = (await cpuSeconds(pid)) - before
  console.log(`QEMU of a VM that dozes: ${took.toFixed(2)} s of CPU in 5 s`)
  expect(took).toBeLessThan(0.1)
  expect(await croft.do('exec', 'idle', 'hostname; cat /dev/shm/kept')).toBe('idle\nkept\n')
  await croft.do('rm', 'idle', '--yes')
})

test('goes on as soon as somebody needs it, with its memory', async () => {
  const took: number[] = []
  for (let i = 0; i < 5; i++) {
    await doze()
    took.push((await croft.ask('wake', { vm: 'web' })).tookMs)
    expect(await stateOf()).toBe('awake')
  }
  console.log(`from dozing to running: ${took.map((ms) => ms.toFixed(1)).join(', ')} ms`)
  await doze()
  expect(await kept()).toBe('kept\n')
  expect((await recordOf()).dozing).toBe(false)
})

test('its clock is right after it has dozed', async () => {
  await doze()
  await delay(10_000)
  await croft.do('wake', 'web')
  await clockIsRight()
})

test('one that is suspended by hand is paused, and its clock is right after it was started', async () => {
  using events = await croft.events()
  await must('virsh', ['-q', 'suspend', await domainOf()])
  await events.until(({ type, name, state }) => type === 'vm.state' && name === 'web' && state === 'paused')
  expect(await stateOf()).toBe('paused')
  await delay(3000)
  await croft.do('start', 'web')
  expect(await stateOf()).toBe('awake')
  await clockIsRight()
})

test('one that is resumed by hand is awake, and its clock is right', async () => {
  await doze()
  await delay(3000)
  await must('virsh', ['-q', 'resume', await domainOf()])
  await vi.waitFor(async () => expect([await stateOf(), (await recordOf()).dozing]).toEqual(['awake', false]), wait)
  await clockIsRight()
})

test('does not doze while somebody is in it', async () => {
  const inside = croft.run(['exec', 'web', 'until [ -e /tmp/leave ]; do sleep 0.2; done; rm /tmp/leave'])
  await vi.waitFor(async () => expect((await croft.ask('stat', { vm: 'web' })).use?.now).toBe(true), wait)
  expect(await croft.run(['sleep', 'web', '--doze'])).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("web can't doze now: it is in use (croft exec)."),
  })
  await croft.peek('web', 'touch /tmp/leave')
  expect(await inside).toMatchObject({ code: 0 })
})

test('goes on to be asked when its timers are to count again', async () => {
  await doze()
  await croft.do('sleep', 'web', '--appointments', 'no')
  expect(await stateOf()).toBe('dozing')
  await croft.do('sleep', 'web', '--appointments', 'yes')
  expect(await stateOf()).toBe('awake')
})

test('sleeps from a doze', async () => {
  await doze()
  expect(await croft.do('sleep', 'web')).toBe('web is asleep.\n')
  expect(await kept()).toBe('kept\n')
})

test('is checkpointed and copied again and again while it dozes, and the copy is awake', async () => {
  await doze()
  await croft.do('checkpoint', 'web', 'one')
  await croft.do('checkpoint', 'web', 'two')
  expect(await stateOf()).toBe('dozing')
  await croft.do('cp', 'web', 'copy')
  expect([await stateOf(), await stateOf('copy')]).toEqual(['dozing', 'awake'])
  expect(await croft.do('exec', 'copy', 'hostname; cat /dev/shm/kept')).toBe('copy\nkept\n')
  await croft.do('rm', 'copy', '--yes')
  await croft.do('restore', 'web', 'one')
  expect(await kept()).toBe('kept\n')
})

test('learns what has changed while it dozed before anybody is in it', async () => {
  await using maker = new KeyMaker()
  await croft.do('key', 'add', (await maker.make('revoked')).publicPath)
  const keys = '/etc/ssh/croft_authorized_keys'
  await vi.waitFor(async () => expect(await croft.peek('web', `cat ${keys}`)).toContain('revoked'), wait)
  await doze()
  await croft.do('key', 'rm', 'revoked', '--yes')
  await croft.do('rename', 'web', 'site')
  await croft.do('resize', 'site', '--disk', '80G')
  expect(await stateOf('site')).toBe('dozing')
  expect(await croft.do('exec', 'site', `hostname; grep -c revoked ${keys} || true`)).toBe('site\n0\n')
  await croft.do('rename', 'site', 'web')
})

test('shuts down properly while it dozes', async () => {
  await croft.do('exec', 'web', 'echo written > written')
  await doze()
  expect(await croft.do('restart', 'web')).toContain('web')
  expect(await croft.do('exec', 'web', 'cat written; echo kept > /dev/shm/kept')).toBe('written\n')
})

test('still dozes after the daemon was killed, and goes on', async () => {
  await doze()
  await croft.kill('SIGKILL')
  await croft.start()
  expect(await stateOf()).toBe('dozing')
  expect(await kept()).toBe('kept\n')
  await clockIsRight()
})

test.each(dozeFaultPoints)('a daemon that is killed at %s finds it right again', async (point) => {
  const goesOn = point.startsWith('doze.resume')
  if (goesOn) await doze()
  await croft.cutAt(point, ...(goesOn ? ['wake', 'web'] : ['sleep', 'web', '--doze']))
  const dozes = point === 'doze.suspended' || point === 'doze.resume'
  await vi.waitFor(
    async () => expect([await stateOf(), (await recordOf()).dozing]).toEqual([dozes ? 'dozing' : 'awake', dozes]),
    wait,
  )
  expect(await kept()).toBe('kept\n')
  await clockIsRight()
})

test.runIf(deep)('goes to disk when its time without use is over, the doze included', async () => {
  await croft.do('sleep', 'web', '--after', '1')
  await doze()
  using events = await croft.events()
  await events.until(({ type, name, state }) => type === 'vm.state' && name === 'web' && state === 'asleep', 120_000)
  await croft.do('sleep', 'web', '--after', 'never')
  expect(await kept()).toBe('kept\n')
})
