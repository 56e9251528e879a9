import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import { cpuCgroups } from '../../daemon/adapters/kernel/cgroups.ts'
import { readMemory } from '../../daemon/adapters/kernel/load.ts'
import { type Croft, names, startCroft } from '../lib/croft.ts'
import { must } from '../lib/program.ts'
import { qemuPid } from '../lib/qemu.ts'

/** How VMs share the box's memory: what is taken from which VM when it runs out, and given back. */
let croft: Croft
const MiB = 2 ** 20
const wait = { timeout: 90_000, interval: 250 }
/** Fractions of all memory at which it is tight, short, and none; see daemon/governor/decide.ts. */
const marks = { tight: 0.1, short: 0.04, none: 0.01 }
let total: number
let reserveMiB: number

beforeAll(async () => {
  const memory = await readMemory()
  total = memory.total
  // With this reserve the VMs of this file fit, and somewhat more than 10 % of the box is left.
  reserveMiB = Math.floor((memory.available - 0.15 * total) / MiB) - 2500
  croft = await startCroft({ image: 'bare', config: { reserve: { memoryMiB: reserveMiB }, golden: false } })
  await croft.do('new', 'idle')
  // These VMs have something to give back.
  await Promise.all(['web', 'kept'].map((name) => croft.do('new', name, '--memory', '2G')))
}, 600_000)
afterAll(() => croft?.[Symbol.asyncDispose]())

/** Programs that use up memory. */
const hogs = new Set<ChildProcess>()
async function stopHogs(): Promise<void> {
  const ends = [...hogs].map((hog) => once(hog, 'exit'))
  for (const hog of hogs) hog.kill('SIGKILL')
  hogs.clear()
  await Promise.all(ends)
}
afterEach(stopHogs)

/** Leaves VMs this fraction of the box. */
async function leave(part: number): Promise<void> {
  const { available } = await readMemory()
  const taken = Math.floor((available - reserveMiB * MiB - part * total) / MiB)
  if (taken <= 0) return
  const hog = spawn('python3', [
    '-c',
    `import time\nx = b"x" * (${taken} << 20)\nprint("has it", flush=True)\ntime.sleep(1000)`,
  ])
  hogs.add(hog)
  await once(hog.stdout, 'data')
}

const stat = (vm?: string) => croft.ask('stat', vm === undefined ? {} : { vm })
const level = async () => (await stat()).memory.level
const stands = (what: string) => vi.waitFor(async () => expect(await level()).toBe(what), wait)
const qemu = async (name: string): Promise<string> => {
  return `/proc/${await qemuPid(await croft.ask('show', { vm: name }))}`
}

/** Lowering it needs a right that root does not have in every container. */
async function mayGuard(): Promise<boolean> {
  const own = spawn('sh', ['-c', 'echo -900 > /proc/self/oom_score_adj'], { stdio: 'ignore' })
  return (await once(own, 'exit'))[0] === 0
}

/** The MiB that a VM's balloon leaves it. */
async function balloon(name: string): Promise<number> {
  const { id } = await croft.ask('show', { vm: name })
  const said = await must('virsh', ['-c', 'qemu:///system', 'dommemstat', `croft-${id}`])
  return Number(/^actual (\d+)$/m.exec(said)![1]) / 1024
}

test('the kernel ends other processes before VMs and the daemon', async ({ skip }) => {
  if (!(await mayGuard())) skip('nobody may say so here')
  for (const process of [await qemu('web'), `/proc/${croft.pid}`])
    expect(Number(await readFile(`${process}/oom_score_adj`, 'utf8'))).toBe(-900)
})

/** The CPU time that each takes, in seconds per second, over `s` seconds. */
async function cpuTaken(s: number, ...vms: string[]): Promise<number[]> {
  const ticksPerS = 100
  const read = async (name: string) => {
    const [, of] = (await readFile(`${await qemu(name)}/stat`, 'utf8')).split(') ')
    const fields = of!.split(' ')
    return { at: performance.now(), ticks: Number(fields[11]) + Number(fields[12]) }
  }
  const before = await Promise.all(vms.map(read))
  await new Promise((resolve) => setTimeout(resolve, s * 1000))
  const after = await Promise.all(vms.map(read))
  return after.map(({ at, ticks }, i) => ((ticks - before[i]!.ticks) * 1000) / (at - before[i]!.at) / ticksPerS)
}

/** The CPU share that libvirt gives its cgroup. */
async function shares(name: string): Promise<number> {
  const { id } = await croft.ask('show', { vm: name })
  const said = await must('virsh', ['-c', 'qemu:///system', 'schedinfo', `croft-${id}`])
  return Number(/^cpu_shares\s*: (\d+)$/m.exec(said)![1])
}

/** Pins all of its QEMU to these CPUs, in the form of taskset(1). */
async function runOn(cpus: string, name: string): Promise<void> {
  const pid = await qemuPid(await croft.ask('show', { vm: name }))
  await must('taskset', ['--all-tasks', '--cpu-list', '--pid', cpus, String(pid)])
}

const busy = (name: string) =>
  croft.do('exec', name, 'for i in 1 2; do timeout 300 yes > /dev/null 2>&1 < /dev/null & done')
const idle = (name: string) => croft.do('exec', name, 'pkill yes || true')

test('VMs that all want CPUs get them by their priority, and the one that takes most is named', async () => {
  await using events = await croft.events()
  await croft.do('resize', 'web', '--priority', 'high')
  const both = ['web', 'idle']
  const before = await Promise.all(both.map(shares))
  for (const name of both) await busy(name)
  // VMs that compute come after those that don't, and share among themselves as before.
  await vi.waitFor(async () => {
    const after = await Promise.all(both.map(shares))
    expect(after.map((each, i) => Math.round((10 * before[i]!) / each) / 10)).toEqual([
      expect.closeTo(8, 0),
      expect.closeTo(8, 0),
    ])
  }, wait)
  // On one CPU: how the kernel spreads threads over several is not ours to test.
  const [, cpus] = /^Cpus_allowed_list:\s+(\S+)$/m.exec(await readFile('/proc/self/status', 'utf8'))!
  for (const name of both) await runOn(String(Number.parseInt(cpus!, 10)), name)
  const [high, normal] = await cpuTaken(4, 'web', 'idle')
  for (const name of both) await runOn(cpus!, name)
  expect(high! / normal!).toBeGreaterThan(3.5)
  expect(high! / normal!).toBeLessThan(4.5)
  // It is named as soon as it takes much, which may be just after its start.
  const { message } = await events.until((event) => event.event === 'vm.heavy' && event.name === 'web')
  expect(message).toMatch(/^web takes [\d.]+ of \d+ CPUs: others wait for a CPU \d+ % of the time\.$/)
  await vi.waitFor(async () => {
    const { vms } = await croft.ask('top')
    const what = expect.stringMatching(/^takes [\d.]+ of \d+ CPUs$/)
    expect(vms.find((vm: { name: string }) => vm.name === 'web')).toMatchObject({ governor: { what } })
  }, wait)
  await croft.do('resize', 'web', '--priority', 'normal')
  for (const name of both) await idle(name)
})

test('a VM is held to its limits of CPU time, disk and network, until they are taken away', async () => {
  const MB = 1e6
  const limits = (cpu: string, disk: string, net: string) =>
    croft.do('resize', 'web', '--cpu-limit', cpu, '--disk-limit', disk, '--net-limit', net)
  /** Bytes per second that it writes, receives and sends at its fastest. */
  const does = async () => {
    const dd = await croft.do('exec', 'web', 'dd if=/dev/zero of=big bs=64k count=64 oflag=direct 2>&1; rm big')
    const tap = names.tapPrefix + (await croft.ask('show', { vm: 'web' })).id.slice(3)
    // Dropped packets are counted neither behind the bridge nor at the tap.
    const counters = ['tx', 'rx'].map(
      (way) => `/sys/class/net/${way === 'tx' ? tap : names.bridge}/statistics/${way}_bytes`,
    )
    const count = async () => [
      performance.now(),
      ...(await Promise.all(counters.map(async (path) => Number(await readFile(path, 'utf8'))))),
    ]
    const start = await count()
    const echo = croft.run(['exec', 'web', 'timeout 20 cat'], { input: '0'.repeat(20 * MB) })
    // The limit lets a second's worth through in one burst.
    const begun = await vi.waitFor(async () => {
      const now = await count()
      for (const way of [1, 2]) expect(now[way]! - start[way]!).toBeGreaterThan(0.8 * MB)
      return now
    }, wait)
    await new Promise((resolve) => setTimeout(resolve, 3000))
    const end = await count()
    await croft.do('exec', 'web', 'pkill -x cat || true')
    await echo
    const [ms, received, sent] = end.map((value, i) => value - begun[i]!)
    return {
      written: (4 * 2 ** 20) / Number(/ ([0-9.]+) s,/.exec(dd)![1]),
      received: (received! * 1000) / ms!,
      sent: (sent! * 1000) / ms!,
    }
  }

  expect(await limits('none', '4M', '4M')).toContain('at most 4 MB/s of disk, 4 Mbit/s of network each way')
  const held = await does()
  await limits('none', 'none', 'none')
  const free = await does()
  for (const [what, most] of [
    ['written', 4 * MB],
    ['received', 0.5 * MB],
    ['sent', 0.5 * MB],
  ] as const) {
    // Dropped packets are sent again later, and a second's worth that was not used then can be used afterwards.
    expect(held[what] / most, what).toBeGreaterThan(0.2)
    expect(held[what] / most, what).toBeLessThan(1.5)
    expect(free[what] / most, what).toBeGreaterThan(1.5)
  }

  if ((await cpuCgroups()) === 0) {
    const refused = await croft.run(['resize', 'web', '--cpu-limit', '30%'])
    expect(refused).toMatchObject({ code: 5, stderr: expect.stringContaining('no cgroups') })
    return
  }
  await busy('web')
  await limits('30%', 'none', 'none')
  const [limited] = await cpuTaken(3, 'web')
  await limits('none', 'none', 'none')
  const [unlimited] = await cpuTaken(2, 'web')
  await idle('web')
  expect(limited).toBeGreaterThan(0.2)
  expect(limited).toBeLessThan(0.35)
  expect(unlimited).toBeGreaterThan(0.6)
})

test('VMs made from one image share pages that are the same, if the owner wants that', async () => {
  const run = async () => (await readFile('/sys/kernel/mm/ksm/run', 'utf8')).trim()
  expect(await croft.do('box', 'ksm', 'on')).toContain('Memory deduplication is on')
  try {
    expect(await run()).toBe('1')
    await vi.waitFor(async () => expect((await stat()).samePagesBytes).toBeGreaterThan(100 * MiB), wait)
    await croft.kill('SIGTERM')
    await writeFile('/sys/kernel/mm/ksm/run', '0')
    await croft.start()
    expect(await run()).toBe('1')
  } finally {
    await croft.do('box', 'ksm', 'off')
  }
  expect([await run(), (await stat()).samePagesBytes]).toEqual(['0', null])
})

test('when memory is tight, a VM gives back what it does not use, and gets it again as soon as it needs it', async () => {
  await using events = await croft.events()
  expect(await level()).toBe('plenty')
  await croft.do('exec', 'web', 'head -c 500M /dev/zero > big; cat big > /dev/null')
  const before = (await stat('web')).memoryBytes
  await leave((marks.tight + marks.short) / 2)
  await stands('tight')
  expect(await events.until((event) => event.event === 'vm.memory' && event.name === 'web')).toMatchObject({
    message: expect.stringMatching(/^web is held to \d+ MB of memory, as the box has /),
  })
  await vi.waitFor(async () => expect((await stat('web')).memoryBytes).toBeLessThan(before - 300 * MiB), wait)
  // For a while it may also be named for its CPU use.
  await vi.waitFor(async () => expect((await stat('web')).governor?.what).toMatch(/^held to/), wait)
  // More than it was left with.
  const used = await croft.do('exec', 'web', 'python3 -c "print(len(b\'x\' * (900 << 20)))"')
  expect(used.trim()).toBe(`${900 * MiB}`)
  expect(
    await croft.do('exec', 'web', 'cat /proc/sys/kernel/tainted; sudo dmesg | grep -c "Out of memory" || true'),
  ).toMatch(/0\n$/)
})

test('memory that was taken is given back when there is enough again, also after the daemon was killed', async () => {
  await stands('plenty')
  await vi.waitFor(async () => expect((await stat('web')).governor).toBe(null), wait)
  await croft.do('exec', 'kept', 'head -c 400M /dev/zero > big; cat big > /dev/null')
  await leave((marks.tight + marks.short) / 2)
  await vi.waitFor(async () => expect((await stat('kept')).governor?.what).toMatch(/^held to/), wait)
  await vi.waitFor(async () => expect(await balloon('kept')).toBeLessThan(1000), wait)
  await croft.kill('SIGKILL')
  await stopHogs()
  await croft.start()
  const { memoryMiB } = await croft.ask('show', { vm: 'kept' })
  await vi.waitFor(async () => expect(await balloon('kept')).toBe(memoryMiB), wait)
})

test('when memory is full, unused VMs are put to sleep except those that are to stay awake, and no more are admitted', async () => {
  for (const name of ['kept', 'web']) await croft.do('sleep', name, '--after', 'never')
  // More of the reserve is gone than all VMs together could bring back.
  await leave(-0.2)
  await vi.waitFor(async () => expect(await croft.do('ls', '-q', '--state', 'asleep')).toContain('idle\n'), wait)
  const { entries } = await croft.ask('activity')
  expect(entries.find((entry: any) => entry.what?.includes('short of memory'))).toBeDefined()
  expect((await croft.ask('show', { vm: 'kept' })).state).toBe('awake')
  await stands('none')
  const { checks } = await croft.ask('doctor')
  expect(checks.find((each: any) => each.what === 'memory')).toMatchObject({
    state: 'wrong',
    says: expect.stringContaining('no more VMs'),
  })
  const refused = await croft.run(['new', 'onemore'])
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('There is no memory for onemore') })
  expect(await croft.run(['wake', 'idle'])).toMatchObject({ code: 1, stderr: expect.stringContaining('no memory') })
  expect(await croft.do('ls', '-q')).toBe('idle\nkept\nweb\n')
  await stopHogs()
  await croft.do('resize', 'idle', '--disk-limit', '50M')
  await croft.do('wake', 'idle')
  expect(await croft.do('exec', 'idle', 'echo back')).toBe('back\n')
  // Its new QEMU gets the limit too.
  const { id } = await croft.ask('show', { vm: 'idle' })
  expect(await must('virsh', ['-c', 'qemu:///system', 'blkdeviotune', `croft-${id}`, 'vda'])).toMatch(
    /^total_bytes_sec: 50000000$/m,
  )
})
