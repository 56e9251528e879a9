import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test, vi } from 'vitest'
import { Clock } from '../lib/clock.ts'
import { type Croft, startCroft } from '../lib/croft.ts'

/**
 * VMs that wake up or go on for what is due in them. `web` never rests by itself unless a test lets it: it then sleeps
 * after 3 seconds without use or, where the test has it sleep later, dozes after 10.
 */
let croft: Croft
const clock = new Clock()
beforeAll(async () => {
  await clock.set(0)
  croft = await startCroft({ config: { defaults: { sleepAfter: 0.05, dozeAfter: 10 } }, env: clock.env })
  await croft.do('new', 'web')
  await croft.do('sleep', 'web', '--after', 'never')
}, 600_000)
afterAll(async () => {
  await croft?.[Symbol.asyncDispose]()
  await clock.remove()
})
beforeEach(async () => {
  await croft.do('wake', 'web')
  // A test before may have moved the clock of the box, and the guest's follows it.
  await vi.waitFor(async () => {
    const seconds = Number(await croft.peek('web', 'date +%s'))
    expect(Math.abs(seconds - Date.now() / 1000)).toBeLessThan(5)
  }, patience)
})

const patience = { timeout: 60_000, interval: 300 }
const show = () => croft.ask('show', { vm: 'web' })
const isIn = (state: string) => (event: { type: string; name: string; state: string }) =>
  event.type === 'vm.state' && event.name === 'web' && event.state === state
const isAwake = isIn('awake')
/** Resolves with the first entry of the activity log that fits. It is written a moment after the VM is awake. */
const deed = (what: RegExp) =>
  vi.waitFor(async () => {
    const { entries } = await croft.ask('activity', { limit: 1000 })
    const found = entries.find((entry: { what: string }) => what.test(entry.what))
    expect(found, JSON.stringify(entries.slice(-5))).toBeDefined()
    return found
  }, patience)

/** Sets a calendar timer in the VM, which writes the time to a file. @returns when it is due, in seconds since the epoch */
async function timer(name: string, inSeconds: number): Promise<number> {
  const at = await croft.peek(
    'web',
    `at=$(($(date +%s) + ${inSeconds}))
sudo systemd-run --quiet --unit ${name} --on-calendar "$(date -d @$at '+%F %T')" --timer-property=AccuracySec=1s \\
  sh -c 'date +%s > /home/dev/${name}' >&2
echo $at`,
  )
  return Number(at)
}

const ran = (name: string) =>
  vi.waitFor(async () => Number(await croft.peek('web', `grep . /home/dev/${name}`)), patience)

test('a VM that sleeps is woken before a timer in it is due, also when the daemon was killed in between', async () => {
  const due = await timer('job', 50)
  expect(await croft.do('sleep', 'web')).toMatch(
    /^web is asleep\. It wakes at \d\d:\d\d for job\.timer \(in 1 min\)\.\n$/,
  )
  await croft.kill('SIGKILL')
  await croft.start()
  using events = await croft.events()
  expect(await show()).toMatchObject({
    state: 'asleep',
    wakesAt: new Date(due * 1000).toISOString(),
    wakesFor: 'job.timer',
  })
  expect(await croft.do('ls')).toMatch(/DUE.*\n.*asleep.* \d\d:\d\d {2}job\.timer/)
  const { time } = await events.until(isAwake)
  expect(Date.parse(time) / 1000).toBeLessThan(due)
  const at = await ran('job')
  expect([at >= due, at - due < 5]).toEqual([true, true])
  expect(await show()).toMatchObject({ state: 'awake', wakesAt: null, wakesFor: null })
  expect((await croft.state()).vms).toMatchObject({ [(await show()).id]: { appointment: null } })
  await deed(/^woke it for job\.timer$/)
  expect((await croft.ask('stat', { vm: 'web' })).use.why).toMatch(/woken for job\.timer|CPU/)
})

test('what was due while the daemon was dead is done as soon as it is back, and told as late', async () => {
  onTestFinished(() => clock.set(0))
  await timer('late', 60)
  await croft.do('sleep', 'web')
  await croft.kill('SIGTERM')
  await clock.set(1)
  await croft.start()
  using events = await croft.events()
  const { message } = await events.until(({ type, name }) => type === 'box.warning' && name === 'web')
  expect(message).toMatch(/^web was woken \d+ min late for late\.timer, which was due at .*\.$/)
  await ran('late')
  await deed(/^woke it for late\.timer, \d+ min late$/)
})

/** Lets `web` doze for being idle, and not sleep. */
async function mayDoze(): Promise<void> {
  await croft.do('sleep', 'web', '--after', '600')
  onTestFinished(async () => {
    await croft.do('wake', 'web')
    await croft.do('sleep', 'web', '--after', 'never')
  })
}

test('a VM that dozes goes on in time for a timer, also when the daemon was killed in between, and dozes again', async () => {
  await mayDoze()
  const due = await timer('nod', 60)
  expect(await croft.do('sleep', 'web', '--doze')).toMatch(
    /^web is dozing\. It goes on at \d\d:\d\d for nod\.timer \(in 1 min\)\.\n$/,
  )
  await croft.kill('SIGKILL')
  await croft.start()
  using events = await croft.events()
  const wakesAt = new Date(due * 1000).toISOString()
  expect(await show()).toMatchObject({ state: 'dozing', wakesAt, wakesFor: 'nod.timer' })
  expect(await croft.do('ls')).toMatch(/DUE.*\n.*dozing.* \d\d:\d\d {2}nod\.timer/)
  expect(await croft.do('show', 'web')).toMatch(/\n *goes on +\d\d:\d\d for nod\.timer/)
  const { time } = await events.until(isAwake)
  expect(Date.parse(time) / 1000).toBeLessThan(due)
  const at = await ran('nod')
  console.log(`a timer in a VM that dozed ran ${at - due} s after its time`)
  expect([at >= due, at - due <= 2]).toEqual([true, true])
  expect(await show()).toMatchObject({ state: 'awake', wakesAt: null, wakesFor: null })
  await events.until(isIn('dozing'), 180_000)
  expect(await show()).toMatchObject({ wakesFor: null })
})

test('what was due in a VM that dozes while the daemon was dead is done as soon as it is back, and told as late', async () => {
  onTestFinished(() => clock.set(0))
  await timer('missed', 60)
  await croft.do('sleep', 'web', '--doze')
  await croft.kill('SIGTERM')
  await clock.set(1)
  await croft.start()
  using events = await croft.events()
  const { message } = await events.until(({ type, name }) => type === 'box.warning' && name === 'web')
  expect(message).toMatch(/^web went on \d+ min late for missed\.timer, which was due at .*\.$/)
  await ran('missed')
  await deed(/^had it go on for missed\.timer, \d+ min late$/)
})

test('an idle VM is asked before it dozes, and keeps its appointment through what is done to it meanwhile', async () => {
  await mayDoze()
  onTestFinished(async () => void (await croft.peek('web', 'sudo systemctl stop far.timer near.timer || true')))
  await timer('far', 900)
  using events = await croft.events()
  await events.until(isIn('dozing'), 180_000)
  expect(await show()).toMatchObject({ state: 'dozing', wakesFor: 'far.timer' })
  await croft.do('checkpoint', 'web', 'one')
  await croft.do('cp', 'web', 'copy')
  expect(await show()).toMatchObject({ state: 'dozing', wakesFor: 'far.timer' })
  expect(await croft.ask('show', { vm: 'copy' })).toMatchObject({ state: 'awake', wakesFor: null })
  await croft.do('rm', 'copy', '--yes')
  expect(await croft.do('sleep', 'web')).toMatch(/^web is asleep\. It wakes at \d\d:\d\d for far\.timer/)
  await croft.do('wake', 'web')
  await croft.do('sleep', 'web', '--doze')
  expect(await croft.do('sleep', 'web', '--until', '2h')).toMatch(
    /^web is asleep\. It wakes at .* for croft sleep --until/,
  )
  await croft.do('wake', 'web')
  await timer('near', 200)
  await vi.waitFor(async () => {
    expect(await croft.do('show', 'web')).toMatch(/awake +does not sleep: near\.timer is due in [123] min\n/)
  }, patience)
  // A new daemon asks again at once.
  await croft.kill('SIGTERM')
  await croft.start()
})

test('a VM sleeps until it is told to wake, by the time of day, whatever is due in it', async () => {
  onTestFinished(() => clock.set(0))
  onTestFinished(async () => void (await croft.peek('web', 'sudo systemctl stop later.timer || true')))
  await timer('later', 600)
  for (const wrong of ['2020-01-01', 'soon', '2999-01-01T00:00Z'])
    expect(await croft.run(['sleep', 'web', '--until', wrong])).toMatchObject({ code: 2 })
  expect(await croft.do('sleep', 'web', '--until', '2h')).toMatch(
    /It wakes at \d\d:\d\d for croft sleep --until \(in 2 h\)/,
  )
  using events = await croft.events()
  await clock.set(2)
  await events.until(isAwake)
  await deed(/^woke it for croft sleep --until$/)
})

test('cron jobs count, where cron runs, unless the VM keeps no appointments', async () => {
  const spool = '/var/spool/cron/crontabs'
  await croft.peek(
    'web',
    `sudo cp /usr/bin/sleep /usr/local/bin/cron; sudo mkdir -p ${spool}
echo '30 3 * * * true' | sudo tee ${spool}/dev > /dev/null
sudo setsid /usr/local/bin/cron 1000 < /dev/null > /dev/null 2>&1 &`,
  )
  onTestFinished(async () => {
    await croft.do('wake', 'web')
    await croft.peek('web', `sudo pkill -x cron; sudo rm ${spool}/dev /usr/local/bin/cron`)
  })
  await croft.do('sleep', 'web')
  expect(await show()).toMatchObject({ wakesFor: 'the crontab of dev', wakesAt: expect.stringMatching(/T03:30:00/) })
  await croft.do('sleep', 'web', '--appointments', 'no')
  onTestFinished(async () => void (await croft.do('sleep', 'web', '--appointments', 'yes')))
  expect(await show()).toMatchObject({ state: 'asleep', wakesFor: null })
  await croft.do('wake', 'web')
  expect(await croft.do('sleep', 'web')).toBe('web is asleep.\n')
})

test('a VM that is connected to the outside, or has something due soon, does not sleep for being idle', async () => {
  onTestFinished(async () => {
    await croft.do('wake', 'web')
    await croft.do('sleep', 'web', '--after', 'never')
    await croft.peek('web', 'sudo systemctl stop soon.timer; sudo ip route del local 203.0.113.0/24 dev lo')
  })
  const outside = `import socket, time
server = socket.create_server(("", 4444)); client = socket.create_connection(("203.0.113.7", 4444)); time.sleep(1000)`
  await croft.peek(
    'web',
    `sudo ip route add local 203.0.113.0/24 dev lo
setsid python3 -c '${outside}' < /dev/null > /dev/null 2>&1 &`,
  )
  await croft.do('sleep', 'web', '--after', 'default')
  await vi.waitFor(async () => {
    const { use } = await croft.ask('stat', { vm: 'web' })
    expect(use).toMatchObject({ why: expect.stringMatching(/^connected to 203\.0\.113\.7:\d+$/), now: true })
  }, patience)
  await croft.peek('web', 'pkill python3')
  await timer('soon', 200)
  await croft.kill('SIGTERM')
  await croft.start()
  await vi.waitFor(async () => {
    expect(await croft.do('show', 'web')).toMatch(/awake +does not sleep: soon\.timer is due in [234] min\n/)
  }, patience)
  expect(await croft.do('sleep', 'web')).toMatch(
    /^web is asleep\. It wakes at \d\d:\d\d for soon\.timer \(in [234] min\)\.\n$/,
  )
})
