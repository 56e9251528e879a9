import { type ChildProcess, spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Vm } from '../../daemon/store/index.ts'
import { type Croft, names, startCroft } from '../lib/croft.ts'
import { deep } from '../lib/deep.ts'
import { must, program } from '../lib/program.ts'
import { watchPauses } from '../lib/qemu.ts'

/** Forks of checkpoints with memory: what continues in them, and what distinguishes them from their parent. */
let croft: Croft
beforeAll(async () => {
  croft = await startCroft()
}, 600_000)
afterAll(() => croft?.[Symbol.asyncDispose]())

/** The tests share one source, `alpha`. */
const removeOthers = async () => {
  for (const name of (await croft.do('ls', '-q')).split('\n').filter((each) => each && each !== 'alpha'))
    await croft.run(['rm', name, '--yes'])
}

const recordOf = async (name: string): Promise<Vm> =>
  Object.values((await croft.state()).vms).find((vm) => vm.name === name)!
const inside = (name: string, script: string) => croft.peek(name, script)
/** As a user from outside does: wakes a sleeping VM. */
const enter = (name: string, script: string) => croft.do('exec', name, script)
/** Each line of a command's output, as `key value`. */
const facts = (text: string) =>
  Object.fromEntries(
    text
      .trim()
      .split('\n')
      .map((line) => line.split(/ (.*)/s, 2) as [string, string]),
  )

/** Everything that distinguishes a guest from others, as it reports itself. */
const whoScript = `
echo "hostname $(hostname)"
echo "etc-hostname $(cat /etc/hostname)"
echo "hosts $(getent ahostsv4 "$(hostname)" | head -1)"
echo "machine-id $(cat /etc/machine-id)"
echo "boot-id $(cat /proc/sys/kernel/random/boot_id)"
echo "boot $(journalctl --boot --output json --lines 1 | grep -o '"_BOOT_ID":"[^"]*"')"
echo "dbus-machine-id $(cat /var/lib/dbus/machine-id)"
echo "mac $(cat /sys/class/net/eth0/address)"
echo "address $(ip -4 -o address show dev eth0 | tr -s ' ' | cut -d ' ' -f 4 | paste -sd,)"
echo "hostkey $(cut -d ' ' -f 2 /etc/ssh/ssh_host_ed25519_key.pub)"
echo "served $(ssh-keyscan -q -t ed25519 127.0.0.1 2> /dev/null | cut -d ' ' -f 3)"
echo "journal $(ls /var/log/journal /run/log/journal 2> /dev/null | grep -E '^[0-9a-f]{32}$' | paste -sd,)"
echo "uuid $(cat /proc/sys/kernel/random/uuid)"
echo "random $(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \\n')"
echo "now $(date +%s.%N)"
`

describe('a new VM', () => {
  test('is a fork of its image, and has booted before it was made', async () => {
    const made = await croft.run(['new', 'alpha', '--env', 'GREETING=hello'])
    expect(made).toMatchObject({ code: 0, stdout: expect.not.stringContaining('had to boot') })
    const log = join(croft.folder, 'vms', (await recordOf('alpha')).id, 'console.log')
    expect(await readFile(log, 'utf8')).toBe('')
    const { accelerator, cpus } = Object.values((await croft.state()).memories)[0]!.hardware
    expect({ accelerator, cpus }).toEqual({ accelerator: 'tcg', cpus: 2 })
  })

  test.runIf(deep)('of hardware that none was made of before boots, says so, and the next one is a fork', async () => {
    using events = await croft.events()
    const first = await croft.run(['new', 'first', '--cpu', '1', '--memory', '512M'])
    expect(first.stdout).toContain(
      'It had to boot: no VM of debian with 1 CPU and 512 MiB of memory has been made here yet',
    )
    await events.until((event) => event.type === 'image.golden', 120_000)
    const second = await croft.run(['new', 'second', '--cpu', '1', '--memory', '512M'])
    expect(second).toMatchObject({ code: 0, stdout: expect.not.stringContaining('had to boot') })
    expect(await inside('second', 'nproc; hostname')).toBe('1\nsecond\n')
    await removeOthers()
  })
})

describe('a copy of a running VM', () => {
  /** The output of each of the three, and the times between which the first copy was requested. */
  const said: Record<string, Record<string, string>> = {}
  /** The numbers that each drew until the copies were usable, and since. */
  const drawn: { before: string[]; since: string[] }[] = []
  let tunnel: ChildProcess
  let echo: Server
  beforeAll(async () => {
    await goesOn('alpha', 'count', 'print(number, file=file)')
    const draw = 'print(open("/proc/sys/kernel/random/uuid").read() + os.urandom(8).hex(), file=file)'
    await goesOn('alpha', 'drawn', draw)
    await openTunnel()
    await inside('alpha', 'until [ -s count ] && [ "$(wc -l < drawn)" -gt 10 ]; do sleep 0.1; done')
    await Promise.all([croft.do('cp', 'alpha', 'beta'), croft.do('cp', 'alpha', 'gamma')])
    const copied = ['alpha', 'beta', 'gamma']
    const before = await Promise.all(copied.map(async (name) => Number(await inside(name, 'wc -l < drawn'))))
    for (const [i, name] of copied.entries()) {
      said[name] = facts(await inside(name, whoScript))
      await inside(name, `until [ "$(wc -l < drawn)" -gt ${before[i]! + 20} ]; do sleep 0.1; done`)
      const lines = (await inside(name, 'tmux kill-session -t drawn; cat drawn')).trim().split('\n')
      drawn.push({ before: lines.slice(0, before[i]), since: lines.slice(before[i]) })
    }
  }, 400_000)
  afterAll(async () => {
    tunnel?.kill()
    echo?.close()
    await inside('alpha', 'tmux kill-server')
    await removeOthers()
  })

  /**
   * Five times a second, in a tmux session and a file of that name. In one process, because starting others is slow.
   */
  async function goesOn(vm: string, name: string, what: string): Promise<void> {
    const input = `import os, time
number, file = 0, open("${name}", "a", buffering=1)
while True:
    time.sleep(0.2)
    number += 1
    ${what}
`
    const ended = await croft.run(
      ['exec', vm, `cat > ${name}.py; tmux new-session -d -s ${name} 'python3 ${name}.py'`],
      { input },
    )
    expect(ended.code).toBe(0)
  }

  /**
   * A connection from `alpha` to this machine: to its SSH server, with a forwarded port. The copies have neither end.
   */
  async function openTunnel(): Promise<void> {
    echo = createServer((socket) => void socket.on('error', () => {}).pipe(socket))
    await new Promise<void>((resolve) => echo.listen(0, '127.0.0.1', resolve))
    const { port } = echo.address() as AddressInfo
    const vm = await recordOf('alpha')
    tunnel = spawn('ssh', [
      ...['-F', 'none', '-N', '-i', join(croft.folder, 'keys/daemon_ed25519'), '-R', `9999:127.0.0.1:${port}`],
      ...['-o', `UserKnownHostsFile=${join(croft.folder, 'vms', vm.id, 'known_hosts')}`, '-o', `HostKeyAlias=${vm.id}`],
      `dev@${vm.ip}`,
    ])
    await inside('alpha', 'timeout 20 sh -c "until ss -Hltn sport = 9999 | grep -q .; do sleep 0.1; done"')
  }

  test('goes on with what ran, and so does the source', async () => {
    for (const name of ['alpha', 'beta']) {
      expect(await inside(name, 'tmux list-sessions -F "#{session_name}"')).toBe('count\n')
      const from = Number(await inside(name, 'tail -1 count'))
      await inside(name, `until [ "$(tail -1 count)" -gt ${from} ]; do sleep 0.1; done`)
      // No number is missing or there twice: nothing was lost between memory and disk.
      expect(await inside(name, 'cp count now; seq "$(wc -l < now)" | cmp - now && echo same')).toBe('same\n')
    }
  })

  test('says its parent’s name, keys and addresses nowhere', async () => {
    const [parent, copy] = [said.alpha!, said.beta!]
    const [ofParent, ofCopy] = [await recordOf('alpha'), await recordOf('beta')]
    for (const fact of Object.keys(parent)) expect(copy[fact], fact).not.toBe(parent[fact])
    expect(copy).toMatchObject({
      hostname: 'beta',
      'etc-hostname': 'beta',
      hosts: expect.stringContaining('127.0.1.1'),
      'machine-id': ofCopy.machineId,
      'dbus-machine-id': ofCopy.machineId,
      mac: ofCopy.mac,
      address: `${ofCopy.ip}/16`,
      served: copy.hostkey,
      journal: expect.stringContaining(ofCopy.machineId),
    })
    const known = await readFile(join(croft.folder, 'vms', ofCopy.id, 'known_hosts'), 'utf8')
    expect(known).toContain(copy.hostkey)
    // Searches for the name as a word, in files that identify a machine, and in what the kernel reports.
    const search = `sudo grep -rlwE 'alpha|${ofParent.ip}|${ofParent.machineId}|${ofParent.mac}' /etc /run /proc/sys/kernel/hostname /proc/cmdline 2> /dev/null`
    expect((await croft.run(['exec', 'beta', search])).stdout).toBe('')
  })

  test('has the parent’s address no more, and a DHCP lease of its own', async () => {
    const { ip } = await recordOf('beta')
    const lease = `until networkctl status eth0 | grep -q 'Address: ${ip} (DHCPv4'; do sleep 0.2; done`
    await inside('beta', `timeout 30 sh -c "${lease}"`)
    expect(await inside('beta', 'ip -4 -o address show dev eth0 | wc -l')).toBe('1\n')
  })

  test('draws none of the random numbers that its source or another copy draws', () => {
    for (const [a, b] of [
      [0, 1],
      [0, 2],
      [1, 2],
    ] as const) {
      const [one, other] = [drawn[a]!, drawn[b]!]
      expect(one.before.slice(0, 10)).toEqual(other.before.slice(0, 10))
      expect(new Set(one.since).intersection(new Set(other.since))).toEqual(new Set())
    }
  })

  test('knows what time it is, within a second', async () => {
    const before = Date.now() / 1000
    const now = Number(await inside('beta', 'date +%s.%N'))
    expect(now).toBeGreaterThan(before - 1)
    expect(now).toBeLessThan(Date.now() / 1000 + 1)
  })

  test('has ended its connections to the outside, and the source’s go on', async () => {
    const { ip } = await recordOf('alpha')
    expect(await inside('beta', `ss -Htn state established src ${ip} | wc -l`)).toBe('0\n')
    expect(await inside('alpha', `bash -c 'exec 3<>/dev/tcp/127.0.0.1/9999; echo ping >&3; head -1 <&3'`)).toBe(
      'ping\n',
    )
  })
})

const many = deep ? 20 : 2

describe('copies of a running VM', () => {
  afterAll(removeOthers)

  test(`can be made ${many} times at once`, { timeout: 400_000 }, async () => {
    const copies = Array.from({ length: many }, (_, i) => `copy-${String.fromCharCode(97 + i)}`)
    await inside('alpha', 'echo shared > kept; sync')
    const made = await Promise.all(copies.map((name) => croft.run(['cp', 'alpha', name])))
    expect(made.map(({ code, stderr }) => `${code} ${stderr}`)).toEqual(copies.map(() => '0 '))
    const told = await Promise.all(copies.map((name) => inside(name, 'hostname; cat kept')))
    expect(told).toEqual(copies.map((name) => `${name}\nshared\n`))
    const vms = await Promise.all(copies.map(recordOf))
    for (const key of ['ip', 'mac', 'uuid', 'machineId'] as const)
      expect(new Set(vms.map((vm) => vm[key])).size).toBe(copies.length)
    // The first is made immediately; those requested while its checkpoint is taken share the next one.
    const { layers } = await croft.state()
    expect(new Set(vms.map((vm) => layers[vm.disk]!.parent)).size).toBeLessThanOrEqual(2)
  })
})

describe('a copy', () => {
  afterEach(removeOthers)

  /**
   * Starts a program that numbers its writes, page after page, again and again, and first looks for the number of the
   * pass before. It appends what is not as it was written to the file `wrong`, and counts in `passes`.
   */
  const stampScript = `
cat > stamp.py << 'END'
import mmap
count = 512
pages = mmap.mmap(-1, count * 4096)
number = 0
while True:
    for at in range(0, count * 4096, 4096):
        found = int.from_bytes(pages[at : at + 8], "little")
        if number >= count and found != number - count:
            print(f"page {at // 4096} holds {found} at {number}", file=open("wrong", "a"))
        pages[at : at + 8] = number.to_bytes(8, "little")
        number += 1
    if number // count % 100 == 0:
        print(number // count, file=open("passes", "w"))
END
nohup python3 stamp.py > /dev/null 2>&1 &`

  test.runIf(deep)('without memory boots from the disk as it was', async () => {
    await inside('alpha', 'echo here > file; sync')
    await croft.do('cp', 'alpha', 'clean', '--disk-only')
    const { ip, mac } = await recordOf('clean')
    expect(
      await inside('clean', 'cat file /sys/class/net/eth0/address; hostname; ip -4 -o address show dev eth0'),
    ).toMatch(new RegExp(`^here\n${mac}\nclean\n.* ${ip}/16 `))
    expect(await croft.do('logs', 'clean', '--lines', '2000')).toContain('Welcome to Debian')
  })

  test('has the memory of one instant, however busy its source is', async () => {
    await croft.do('cp', 'alpha', 'busy')
    await inside('busy', `${stampScript}\nuntil [ -s passes ]; do sleep 0.1; done`)
    for (let round = 0; round < (deep ? 12 : 2); round++) {
      const { stop } = watchPauses(await recordOf('busy'))
      await croft.do('cp', 'busy', 'stamped')
      const [pause] = await stop()
      // QEMU's emulator loses sight of writes, so an emulated guest stands still before the first page is saved.
      if ((await croft.state()).accelerator?.kind !== 'kvm') expect(pause!.savedMs).toBeLessThan(0)
      await inside('stamped', 'before=$(cat passes); until [ "$(cat passes)" -gt "$before" ]; do sleep 0.1; done')
      expect(await inside('stamped', 'cat wrong 2> /dev/null || true')).toBe('')
      await croft.do('rm', 'stamped', '--yes')
    }
  })

  test('of a stopped VM is stopped, and of a sleeping one asleep; both come up as themselves', async () => {
    await croft.do('cp', 'alpha', 'source')
    await inside('source', 'sudo sh -c "echo running > /run/sign"')
    // They run one after the other: when the copy was requested, the VM was still awake.
    await Promise.all([
      croft.ask('checkpoint', { vm: 'source' }),
      croft.ask('sleep', { vm: 'source' }),
      croft.ask('cp', { vm: 'source', name: 'sleeper' }),
    ])
    expect(await croft.do('ls', '-q', '--state', 'asleep')).toBe('sleeper\nsource\n')
    expect(await enter('sleeper', 'cat /run/sign; hostname')).toBe('running\nsleeper\n')
    await croft.do('stop', 'source')
    await croft.do('cp', 'source', 'stopped')
    expect(await croft.do('ls', '-q', '--state', 'stopped')).toBe('source\nstopped\n')
  })

  test('wants a name that is free', async () => {
    await croft.do('cp', 'alpha', 'beta')
    const again = await croft.run(['cp', 'alpha', 'beta'])
    expect(again).toMatchObject({ code: 1, stderr: expect.stringContaining('There is already a VM called beta') })
    // The layer frozen for the failed copy is not kept.
    expect(Object.values((await croft.state()).checkpoints).filter(({ kind }) => kind === 'copy')).toEqual([])
  })
})

describe('a checkpoint', () => {
  afterEach(removeOthers)

  test('brings disk and memory back, and going back can be undone', async () => {
    await croft.do('cp', 'alpha', 'beta')
    await inside('beta', 'echo precious > work; tmux new-session -d -s edit "sleep 10000"; sync')
    await croft.do('checkpoint', 'beta', 'good')
    await inside('beta', 'tmux kill-server; rm -rf ~/* ~/.bash*; echo gone > gone')
    await croft.do('restore', 'beta', 'good')
    expect(
      await inside('beta', 'cat work; tmux list-sessions -F "#{session_name}"; ls gone 2> /dev/null || true'),
    ).toBe('precious\nedit\n')
    const { checkpoints } = JSON.parse(await croft.do('checkpoint', 'ls', 'beta', '--json'))
    const before = checkpoints.find((each: { kind: string }) => each.kind === 'before-restore')
    await croft.do('restore', 'beta', before.label)
    expect(await inside('beta', 'cat gone; ls work 2> /dev/null || true')).toBe('gone\n')
  })

  test.runIf(deep)('is one of a tree: back to an old one, on from there, and over to another branch', async () => {
    await croft.do('cp', 'alpha', 'beta')
    const label = async (text: string) => {
      await inside('beta', `echo ${text} >> story; sync`)
      await croft.do('checkpoint', 'beta', text)
    }
    await label('root')
    await label('left')
    await croft.do('restore', 'beta', 'root')
    await label('right')
    await croft.do('restore', 'beta', 'left')
    expect(await inside('beta', 'cat story')).toBe('root\nleft\n')
    await croft.do('restore', 'beta', 'right')
    expect(await inside('beta', 'cat story')).toBe('root\nright\n')
    const { checkpoints } = JSON.parse(await croft.do('checkpoint', 'ls', 'beta', '--json'))
    const parents = Object.fromEntries(checkpoints.map((each: any) => [each.label, each.parent]))
    expect(parents).toMatchObject({ root: null, left: 'root', right: 'root' })
    expect(checkpoints.find((each: any) => each.label === 'right').current).toBe(true)
    // One in the middle is removed; those after it stay whole.
    await croft.do('checkpoint', 'rm', 'beta', 'root', '--yes')
    await croft.do('restore', 'beta', 'left', '--as', 'other')
    expect(await inside('other', 'cat story; hostname')).toBe('root\nleft\nother\n')
    expect(await inside('beta', 'cat story')).toBe('root\nright\n')
  })

  test.runIf(deep)('of a stopped VM is of its disk alone', async () => {
    await croft.do('cp', 'alpha', 'beta')
    await inside('beta', 'echo one > file; sync')
    await croft.do('stop', 'beta')
    expect(await croft.do('checkpoint', 'beta', 'off')).toContain('disk only')
    await croft.do('start', 'beta')
    await inside('beta', 'echo two > file; sync')
    await croft.do('restore', 'beta', 'off')
    expect(await inside('beta', 'cat file')).toBe('one\n')
  })

  /** Starts a Python program in beta, and waits until it has made the file `begun`. */
  const begin = (program: string) =>
    inside('beta', `nohup python3 -c '${program}' > /dev/null 2>&1 & until [ -e begun ]; do sleep 0.1; done; rm begun`)

  test('pauses its VM only for a moment, however much memory that uses', async ({ skip }) => {
    if ((await croft.state()).accelerator?.kind !== 'kvm') skip('guests are emulated here')
    await croft.do('cp', 'alpha', 'beta')
    await begin('import os, time; kept = os.urandom(200 * 10**6); open("begun", "w"); time.sleep(10**6)')
    // Other work on the box may make a pause longer, not shorter.
    const parts: number[] = []
    while (parts.length < 10 && !parts.some((part) => part < 0.2)) {
      const { stop } = watchPauses(await recordOf('beta'))
      await croft.do('checkpoint', 'beta')
      const [pause, ...more] = await stop()
      expect([pause, more]).toEqual([{ ms: expect.any(Number), savedMs: expect.any(Number) }, []])
      parts.push(pause!.ms / pause!.savedMs!)
    }
    expect(Math.min(...parts)).toBeLessThan(0.2)
  })

  test('is taken of a VM whose memory changes all the time', async () => {
    await croft.do('cp', 'alpha', 'beta')
    await begin('import os; open("begun", "w")\nwhile True: os.urandom(200 * 10**6)')
    await croft.do('checkpoint', 'beta', 'busy')
  })

  test('has a label of its own, and a wrong one is helped', async () => {
    await croft.do('checkpoint', 'alpha', 'label')
    const twice = await croft.run(['checkpoint', 'alpha', 'label'])
    expect(twice).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('alpha already has a checkpoint called label'),
    })
    expect(await croft.run(['restore', 'alpha', 'lable'])).toMatchObject({
      code: 3,
      stderr: expect.stringContaining('Did you mean label?'),
    })
    await croft.do('checkpoint', 'rm', 'alpha', 'label', '--yes')
  })
})

describe('sleep', () => {
  afterEach(removeOthers)

  test('frees what the VM used, and it wakes with everything in it when somebody enters', async () => {
    await croft.do('cp', 'alpha', 'beta')
    const vm = await recordOf('beta')
    const boot = await inside('beta', 'cat /proc/sys/kernel/random/boot_id; sudo sh -c "echo awake > /run/sign"')
    await croft.do('sleep', 'beta')
    expect(await must('virsh', ['-q', 'list', '--name'])).not.toContain(vm.id)
    expect(JSON.parse(await croft.do('stat', 'beta', '--json'))).toMatchObject({ state: 'asleep', memoryBytes: null })
    expect(await enter('beta', 'cat /proc/sys/kernel/random/boot_id /run/sign')).toBe(`${boot}awake\n`)
    const said = Number(await inside('beta', 'date +%s'))
    expect(Math.abs(said - Date.now() / 1000)).toBeLessThan(3)
  })

  test('of a thousand that knock at once, the first wakes it and all are answered', async () => {
    await croft.do('cp', 'alpha', 'beta')
    await croft.do('sleep', 'beta')
    using events = await croft.events()
    await events.until((event) => event.event === 'state')
    const answers = await Promise.all(Array.from({ length: 1000 }, () => croft.call('wake', { vm: 'beta' })))
    expect(new Set(answers.map(({ status, body }) => `${status} ${body.state}`))).toEqual(new Set(['200 awake']))
    expect(events.seen.filter((event) => event.type === 'vm.state' && event.state === 'awake')).toHaveLength(1)
  })

  test('that is under way ends at once when somebody knocks', async () => {
    await croft.do('cp', 'alpha', 'beta')
    const sleeping = croft.run(['sleep', 'beta'])
    const vm = await recordOf('beta')
    // Connect while the memory is being written.
    const saving = async () => (await program('virsh', ['domjobinfo', `croft-${vm.id}`])).stdout.includes('Operation:')
    while (!(await saving()) && (await croft.state()).vms[vm.id]!.memory === null);
    expect(await enter('beta', 'hostname')).toBe('beta\n')
    expect(await sleeping).toMatchObject({ code: 1, stderr: expect.stringContaining('somebody needed it') })
    expect(Object.values((await croft.state()).memories).filter(({ id }) => id === vm.memory)).toEqual([])
  })

  test.runIf(deep)('outlives the daemon, and the box', async () => {
    await croft.do('cp', 'alpha', 'beta')
    const boot = await inside('beta', 'cat /proc/sys/kernel/random/boot_id')
    await croft.do('sleep', 'beta')
    await croft.kill('SIGKILL')
    await must('virsh', ['-q', 'net-destroy', names.name])
    await croft.start()
    expect(await croft.do('ls', '-q', '--state', 'asleep')).toBe('beta\n')
    expect(await enter('beta', 'cat /proc/sys/kernel/random/boot_id')).toBe(boot)
  })
})
