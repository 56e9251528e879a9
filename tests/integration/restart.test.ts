import { writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { type Croft, names, startCroft } from '../lib/croft.ts'
import { must, program } from '../lib/program.ts'
import { qemuPid } from '../lib/qemu.ts'

/** What restarts around a running VM, and how little the VM notices. */
let croft: Croft
beforeAll(async () => {
  croft = await startCroft({ image: 'bare' })
  await croft.do('new', 'steady')
  // Counts every 0.1 s until it is interrupted.
  const input = 'import time\nfile = open("count", "a", buffering=1)\nwhile True: time.sleep(0.1); print(file=file)\n'
  const begin = 'cat > count.py; nohup python3 count.py > /dev/null 2>&1 & until [ -s count ]; do sleep 0.1; done'
  await croft.run(['exec', 'steady', begin], { input })
}, 600_000)
afterAll(() => croft?.[Symbol.asyncDispose]())

const count = async () => Number(await croft.peek('steady', 'wc -l < count'))
const bootId = () => croft.peek('steady', 'cat /proc/sys/kernel/random/boot_id')

test('a daemon that is restarted leaves running VMs alone and knows them again', async () => {
  const boot = await bootId()
  const before = await count()
  await croft.kill('SIGTERM')
  await croft.start()
  expect(await croft.do('ls', '-q', '--state', 'awake')).toBe('steady\n')
  expect(await bootId()).toBe(boot)
  expect(await count()).toBeGreaterThan(before)
})

test('so does one that is killed', async () => {
  const boot = await bootId()
  await croft.kill('SIGKILL')
  await croft.start()
  expect(await croft.do('ls', '-q', '--state', 'awake')).toBe('steady\n')
  expect(await bootId()).toBe(boot)
})

test('what it had measured is still there', async () => {
  const measured = async (args: object) => {
    const { from, stepSeconds, series } = (await croft.ask('stat', { ...args, range: '1h' })).history
    const values: (number | null)[] = series.memoryBytes ?? series.memoryUsedBytes
    return new Map(values.flatMap((value, i) => (value === null ? [] : [[from + i * stepSeconds, value] as const])))
  }
  const subjects = [{ vm: 'steady' }, {}]
  await vi.waitFor(async () => {
    for (const each of subjects) expect((await measured(each)).size).toBeGreaterThan(1)
  }, 40_000)
  const before = await Promise.all(subjects.map(measured))
  await croft.kill('SIGTERM')
  await croft.start()
  for (const [i, each] of subjects.entries()) {
    const after = await measured(each)
    const last = Math.max(...before[i]!.keys()) // its step may not have been over
    for (const [at, value] of before[i]!) if (at < last) expect(after.get(at)).toBe(value)
    expect(after.has(last)).toBe(true)
  }
})

test('a removed network comes back immediately, with running VMs on it', async () => {
  const boot = await bootId()
  using events = await croft.events()
  const back = async () => {
    await events.until((event) => event.event === 'box.warning' && /removed the VMs' network/.test(event.message))
    expect(await croft.do('exec', 'steady', 'echo reached')).toBe('reached\n')
    events.seen.length = 0
  }
  await must('virsh', ['-q', 'net-destroy', names.name])
  await back()
  await must('ip', ['link', 'delete', names.bridge])
  await back()
  const tap = names.tapPrefix + Object.values((await croft.state()).vms)[0]!.id.slice(3)
  expect(await must('bridge', ['-d', 'link', 'show', 'dev', tap])).toContain('isolated on')
  // Before the daemon has noticed:
  await must('virsh', ['-q', 'net-destroy', names.name])
  await croft.do('new', 'late')
  expect(await croft.do('exec', 'late', 'echo reached')).toBe('reached\n')
  await must('virsh', ['-q', 'net-destroy', names.name])
  const { checks } = await croft.ask('doctor')
  expect(checks.find(({ what }: { what: string }) => what === 'network').says).toMatch(
    /reach the outside|Croft restored it/,
  )
  await croft.do('rm', 'late', '--yes')
  expect(await bootId()).toBe(boot)
})

test('a paused VM knows the time when it goes on', async () => {
  const { id } = Object.values((await croft.state()).vms)[0]!
  await must('virsh', ['-q', 'suspend', `croft-${id}`])
  await new Promise((resolve) => setTimeout(resolve, 3000))
  await must('virsh', ['-q', 'resume', `croft-${id}`])
  await vi.waitFor(async () => {
    const said = Number(await croft.peek('steady', 'date +%s.%N'))
    expect(Math.abs(Date.now() / 1000 - said)).toBeLessThan(1)
  })
})

test('a guest that reboots itself is starting, then awake again, with the same name', async () => {
  using events = await croft.events()
  const before = await bootId()
  await croft.run(['exec', 'steady', 'sudo reboot'])
  await events.until((event) => event.type === 'vm.state' && event.state === 'starting')
  await events.until((event) => event.type === 'vm.state' && event.state === 'awake', 120_000)
  await vi.waitFor(
    async () => expect(await croft.run(['exec', 'steady', 'hostname'])).toMatchObject({ stdout: 'steady\n' }),
    { timeout: 60_000, interval: 500 },
  )
  expect(await bootId()).not.toBe(before)
})

test('a daemon that finds the box rebooted starts what should run, first the VMs that somebody waits for', async () => {
  await croft.do('new', 'off', '--stopped')
  const others = ['second', 'third', 'wanted']
  for (const name of others) await croft.do('new', name, '--priority', 'low', '--stopped')
  await croft.kill('SIGTERM')
  const vms = Object.values((await croft.state()).vms)
  for (const vm of vms) await program('virsh', ['destroy', `croft-${vm.id}`])
  // The kernel's boot id can't be changed here; the one that the store remembers can.
  const path = `${croft.folder}/state.json`
  const state = await croft.state()
  for (const vm of Object.values(state.vms)) if (others.includes(vm.name)) vm.power = 'on'
  await writeFile(path, JSON.stringify({ ...state, bootId: 'before-the-reboot' }))
  await croft.start()
  using events = await croft.events()
  // Two boot at a time; this one would be the last.
  const wanted = croft.do('exec', 'wanted', 'hostname')
  const starting = (event: any) => event.type === 'vm.state' && event.state === 'starting'
  const next = await events.until((event) => starting(event) && ['third', 'wanted'].includes(event.name), 180_000)
  expect(next.name).toBe('wanted')
  // A daemon restarted now would go on with it.
  expect((await croft.state()).bootId).toBe('before-the-reboot')
  expect(await wanted).toBe('wanted\n')
  for (const name of others) await croft.do('rm', name, '--yes')
  await vi.waitFor(async () => expect(await croft.do('ls', '-q', '--state', 'awake')).toBe('steady\n'), {
    timeout: 120_000,
    interval: 500,
  })
  expect(await croft.do('ls', '-q', '--state', 'stopped')).toBe('off\n')
})

test('a VM that ends while it starts is reported immediately', async () => {
  using events = await croft.events()
  const pid = await qemuPid(await croft.ask('show', { vm: 'steady' }))
  await croft.run(['exec', 'steady', 'sudo reboot'])
  await events.until((event) => event.type === 'vm.state' && event.state === 'starting')
  process.kill(pid, 'SIGSTOP') // it must not come up before somebody waits for it
  const starts = croft.call('start', { vm: 'steady' })
  await new Promise((resolve) => setTimeout(resolve, 300))
  process.kill(pid, 'SIGKILL')
  const { status, body } = await starts
  expect([status, body.code, body.detail]).toEqual([502, 'guest-failed', expect.stringMatching(/ended while starting/)])
})

test('a VM that has crashed says when and why, and is started again where that is wanted', async () => {
  const { crash } = await croft.ask('show', { vm: 'steady' })
  expect(crash).toMatchObject({ reason: 'failed', console: expect.stringContaining('udhcpc') })
  expect(Date.now() - Date.parse(crash.at)).toBeLessThan(60_000)
  const shown = await croft.do('show', 'steady')
  expect(shown).toMatch(/^steady {3}crashed /)
  expect(shown).toContain('Its QEMU ended (failed): /var/log/libvirt/qemu/croft-vm_')
  expect(shown).toContain('croft start steady')
  expect(await croft.do('doctor')).toMatch(/VMs +crashed: steady/)
  await croft.do('resize', 'steady', '--restart', 'on-crash')
  await croft.do('start', 'steady')
  using events = await croft.events()
  await croft.run(['exec', 'steady', 'sudo sh -c "echo c > /proc/sysrq-trigger"'])
  await events.until((event) => event.type === 'vm.state' && event.state === 'crashed')
  await events.until((event) => event.type === 'vm.state' && event.state === 'awake', 120_000)
  expect(await croft.do('activity', '--find', 'steady')).toContain('started it after it crashed')
})

test('a VM whose SSH server admits nobody is entered by its agent, as the message says', async () => {
  await croft.do('exec', 'steady', 'sudo mv /usr/sbin/sshd /usr/sbin/sshd.off; sync')
  await croft.do('restart', 'steady', '--grace', '0')
  const refused = await croft.run(['exec', 'steady', 'true'])
  expect(refused).toMatchObject({ code: 255, stderr: expect.stringContaining('croft exec steady --by-agent') })
  const byAgent = (...words: string[]) => croft.run(['exec', 'steady', '--by-agent', ...words])
  expect(await byAgent('id -un; cat; echo "it\'s" >&2; exit 3')).toMatchObject({
    code: 3,
    stdout: 'root\n',
    stderr: "it's\n",
  })
  expect(await byAgent('mv', '/usr/sbin/sshd.off', '/usr/sbin/sshd')).toMatchObject({ code: 0 })
  expect(await croft.do('exec', 'steady', 'echo in')).toBe('in\n')
})
