import { once } from 'node:events'
import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { type Croft, names, startCroft } from '../lib/croft.ts'
import { must, program } from '../lib/program.ts'
import { KeyMaker, type KeyPair } from '../lib/ssh-keys.ts'
import { Terminal } from '../lib/tmux.ts'

/** The life of one VM, from its creation to its end, through the real command line. */
let croft: Croft
beforeAll(async () => {
  croft = await startCroft()
}, 600_000)
afterAll(() => croft?.[Symbol.asyncDispose]())

describe('a VM', () => {
  test('is made by `croft new` and can be used when that returns', async () => {
    const made = await croft.run([
      'new',
      'web',
      '--env',
      'GREETING=hello "you" $HOME',
      '--tag',
      'shop',
      '--comment',
      'a & b <c>',
    ])
    expect(made).toMatchObject({ code: 0, stderr: '' })
    expect(made.stdout).toMatch(/^web is ready, in [\d.]+ s\.\n/)
    expect(await croft.do('exec', 'web', 'id -un; hostname; printf "%s\\n" "$GREETING"')).toBe(
      'dev\nweb\nhello "you" $HOME\n',
    )
  })

  test('has the name, address, machine-id and host key that Croft gave it', async () => {
    const vm = Object.values((await croft.state()).vms)[0]!
    const said = await croft.do(
      'exec',
      'web',
      'cat /etc/machine-id /etc/hostname; ip -4 -o addr show eth0; ip link show eth0; cat /etc/ssh/ssh_host_ed25519_key.pub',
    )
    for (const own of [vm.machineId, vm.name, `inet ${vm.ip}/`, vm.mac]) expect(said).toContain(own)
    const known = await must('cat', [`${croft.folder}/vms/${vm.id}/known_hosts`])
    expect(said).toContain(known.split(' ')[2]!.trim())
  })

  test('listens at the port of SSH, and for what it needs itself, alone', async () => {
    const { ip } = Object.values((await croft.state()).vms)[0]!
    const list = 'sudo ss --no-header --numeric --listening --tcp --udp --raw --packet'
    const sockets = (await croft.do('exec', 'web', list)).trim().split('\n')
    const open = sockets.map((line) => line.split(/ +/)).map(([kind, , , , local]) => `${kind} ${local}`)
    expect(open.sort()).toEqual([
      'tcp *:22',
      'tcp 127.0.0.53%lo:53',
      'tcp 127.0.0.54:53',
      `udp ${ip}%eth0:68`,
      'udp 127.0.0.53%lo:53',
      'udp 127.0.0.54:53',
    ])
  })

  test('gives its programs and files the rights that Debian gives them, and its user a ping', async () => {
    const list = [
      'find / -xdev -perm /6000 -not -path "/var/log/journal/*" -printf "%p %m %u:%g\\n" | sort',
      'getcap -r /etc /opt /srv /usr /var',
      `python3 -c "import os; print(*os.listxattr('/var/log/journal'))"`,
    ]
    const rights = await croft.do('exec', '--user', 'root', 'web', list.join('; '))
    expect(rights.trim().split('\n')).toEqual([
      '/usr/bin/chage 2755 root:shadow',
      '/usr/bin/chfn 4755 root:root',
      '/usr/bin/chsh 4755 root:root',
      '/usr/bin/expiry 2755 root:shadow',
      '/usr/bin/gpasswd 4755 root:root',
      '/usr/bin/mount 4755 root:root',
      '/usr/bin/newgrp 4755 root:root',
      '/usr/bin/passwd 4755 root:root',
      '/usr/bin/ssh-agent 2755 root:_ssh',
      '/usr/bin/su 4755 root:root',
      '/usr/bin/sudo 4755 root:root',
      '/usr/bin/umount 4755 root:root',
      '/usr/lib/dbus-1.0/dbus-daemon-launch-helper 4754 root:messagebus',
      '/usr/lib/openssh/ssh-keysign 4755 root:root',
      '/usr/sbin/unix_chkpwd 2755 root:shadow',
      '/var/log/journal 2755 root:systemd-journal',
      '/var/mail 2775 root:mail',
      'system.posix_acl_access system.posix_acl_default',
    ])
    const settings =
      '/usr/sbin/sysctl -n net.ipv4.ping_group_range fs.protected_regular fs.protected_fifos kernel.sysrq'
    expect((await croft.do('exec', 'web', settings)).split(/\s+/)).toEqual(['0', '2147483647', '2', '1', '438', ''])
    const box = names.subnet.replace(/0\/\d+$/, '1')
    expect(await croft.do('exec', 'web', `ping -c 1 -W 5 ${box}`)).toContain(' 1 received')
  })

  test('passes standard input, output, error and exit code through `exec`, byte for byte', async () => {
    const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 7919) % 251))
    const sum = (await must('sha256sum', [], { input: bytes })).split(' ')[0]
    const ended = await croft.run(['exec', 'web', 'sha256sum; echo oops >&2; exit 7'], { input: bytes })
    expect(ended).toEqual({ code: 7, stdout: `${sum}  -\n`, stderr: 'oops\n' })
    expect(await croft.do('exec', 'web', '--', 'printf', '[%s]', 'a b', '$HOME', "it's", ';', '')).toBe(
      "[a b][$HOME][it's][;][]",
    )
  })

  test('waits for standard input that comes in pieces', async () => {
    const { spawn } = await import('node:child_process')
    const env = { ...process.env, CROFT_SOCKET: croft.socket }
    const cat = spawn(process.execPath, ['daemon/cli.ts', 'exec', 'web', '--', 'cat'], { env })
    const echoed = () => new Promise<string>((resolve) => cat.stdout.once('data', (chunk) => resolve(String(chunk))))
    for (const word of ['one', 'two', 'three']) {
      cat.stdin.write(word)
      expect(await echoed()).toBe(word)
    }
    cat.stdin.end()
    await new Promise((resolve) => cat.once('close', resolve))
  })

  test('answers `exec` over HTTP in one piece', async () => {
    expect(await croft.ask('exec', { vm: 'web', command: ['cat; exit 3'], stdin: 'ping' })).toEqual({
      exitCode: 3,
      stdout: 'ping',
      stderr: '',
      truncated: false,
    })
  })

  test('shows its console, and `-f` goes on', async () => {
    expect(await croft.do('logs', 'web')).toBe('web has written nothing to its console yet.\n')
    const write = (words: string) => croft.do('exec', 'web', `echo "${words}" | sudo tee /dev/ttyS0 > /dev/null`)
    await write('first words')
    // The guest's output takes a moment to arrive: through its serial port, QEMU, and libvirt's log daemon.
    await vi.waitFor(async () => expect(await croft.do('logs', 'web')).toBe('first words\n'), { timeout: 10_000 })
    const { spawn } = await import('node:child_process')
    const follow = spawn(process.execPath, ['daemon/cli.ts', 'logs', 'web', '-f'], {
      env: { ...process.env, CROFT_SOCKET: croft.socket },
    })
    const heard = new Promise<string>((resolve) => {
      let text = ''
      follow.stdout.setEncoding('utf8').on('data', (chunk) => {
        if (text === '') void write('more \u001b[31mred')
        text += chunk
        if (text.includes('red\n')) resolve(text)
      })
    })
    expect(await heard).toBe('first words\nmore red\n')
    follow.kill()
  })

  test('is listed with what it uses', async () => {
    const { vms, box } = JSON.parse(await croft.do('ls', '--json'))
    expect(vms).toMatchObject([{ name: 'web', state: 'awake', tags: ['shop'], comment: 'a & b <c>' }])
    expect(vms[0].memoryBytes).toBeGreaterThan(50e6)
    expect(vms[0].diskBytes).toBeGreaterThan(100e3)
    expect(box.memoryTotalBytes).toBeGreaterThan(vms[0].memoryBytes)
    expect(await croft.do('ls', '-q')).toBe('web\n')
    expect(await croft.do('ls', '--tag', 'other', '-q')).toBe('')
  })

  test('is watched by `croft top`: on a terminal until that is left, elsewhere once', async () => {
    await croft.do('new', 'still', '--stopped')
    const once = await croft.do('top')
    expect(once).toMatch(/^The box {3}VMs by CPU\n[\s\S]*\n {2}VMs +1 stopped, 1 awake\n\n/)
    expect(once).toMatch(/\nNAME +STATE +CPU +MEMORY +DISK +USED BY\nweb +awake +\d+ % .*\nstill +stopped +– .*\n$/)
    const { vms, box } = JSON.parse(await croft.do('top', '--sort', 'name', '--json'))
    expect(vms).toMatchObject([{ name: 'still' }, { name: 'web', state: 'awake', sshSessions: 0 }])
    expect(box.memoryUsedBytes).toBeGreaterThan(vms[1].memoryBytes)
    expect(await croft.do('top', '-q')).toBe('web\nstill\n')

    const line = `echo before; ${process.execPath} daemon/cli.ts top --every 1s; echo "ended with $?"; exec cat`
    const size = { columns: 80, rows: 24 }
    await using terminal = await Terminal.open('top', size, ['sh', '-c', line], { CROFT_SOCKET: croft.socket })
    const { shows, type } = terminal
    const below = '\n[\\s\\S]*\nweb +awake.*\nstill +stopped.*'
    await shows(new RegExp(`^before\nThe box {3}VMs by CPU; Ctrl-C quits${below}$`))
    expect(await terminal.cursorSeen()).toBe(false)
    await Promise.all([
      croft.do('exec', 'web', 'sleep 5'),
      shows(/web +awake .* (croft exec|takes [\d.]+ of \d+ CPUs)\n/),
    ])
    expect((await terminal.screen()).match(/The box/g)).toHaveLength(1)
    await terminal.resize(40, 15)
    await shows(/\nNAME +STATE +CPU +MEMORY\nweb/)
    await type('x', 'q')
    await shows(/The box[\s\S]*\nstill +stopped.*\nended with 0$/)
    expect(await terminal.cursorSeen()).toBe(true)
    await croft.do('rm', 'still', '--yes')
  })

  test('lets in the keys that may enter it, and learns of it when they are others', async () => {
    await using keys = new KeyMaker()
    const { ip } = Object.values((await croft.state()).vms)[0]!
    const enters = async ({ path }: KeyPair) => {
      const options = [
        '-F',
        'none',
        '-o',
        'BatchMode=yes',
        '-o',
        'IdentitiesOnly=yes',
        '-o',
        'StrictHostKeyChecking=no',
      ]
      const { code } = await program('ssh', [
        ...options,
        '-o',
        'UserKnownHostsFile=/dev/null',
        '-i',
        path,
        `dev@${ip}`,
        'true',
      ])
      return code === 0
    }
    const become = (key: KeyPair, may: boolean) =>
      vi.waitFor(async () => expect(await enters(key)).toBe(may), { timeout: 60_000, interval: 500 })
    const [all, own, runner, ca, signed, other] = await Promise.all(
      ['all', 'own', 'runner', 'ca', 'signed', 'other'].map((name) => keys.make(name)),
    )
    await croft.do('new', 'next', '--stopped')
    await croft.do('key', 'add', other!.publicPath, '--vm', 'next')
    await croft.do('key', 'add', runner!.publicPath, '--tag', 'ci')
    await croft.do('key', 'add', ca!.publicPath, '--authority')
    await croft.do('key', 'add', own!.publicPath, '--vm', 'web')
    await croft.do('key', 'add', all!.publicPath)
    for (const key of [all!, own!]) await become(key, true)
    for (const key of [runner!, other!, ca!, signed!]) expect(await enters(key)).toBe(false)

    await keys.sign(ca!, signed!, 'dev')
    expect(await enters(signed!)).toBe(true)
    await keys.sign(ca!, signed!, 'somebody')
    expect(await enters(signed!)).toBe(false)

    await croft.do('tag', 'web', 'ci')
    await become(runner!, true)
    await croft.do('tag', 'web', '--remove', 'ci')
    await become(runner!, false)
    expect(await enters(own!)).toBe(true)
    await croft.do('rm', 'next', '--yes')
    for (const key of ['runner', 'ca', 'own', 'all']) await croft.do('key', 'rm', key, '--yes')
    await become(own!, false)
  })

  test('keeps nobody out for others who come with wrong keys, or many at once', async () => {
    const { ip } = Object.values((await croft.state()).vms)[0]!
    const others = Array.from({ length: 20 }, () => connect(22, ip))
    try {
      await Promise.all(others.map((other) => once(other, 'data')))
      expect(await croft.do('exec', 'web', 'echo in')).toBe('in\n')
    } finally {
      for (const other of others) other.destroy()
    }
    expect(await croft.do('exec', 'web', 'echo in')).toBe('in\n')
  })

  test('gives back what is deleted, by a timer of its own: by the time that it has been awake, not all VMs at once', async () => {
    const { vms, layers } = await croft.state()
    const disk = `${croft.folder}/${layers[Object.values(vms)[0]!.disk]!.file}`
    const taken = async () => Number(await must('stat', ['-c', '%b', disk])) * 512
    await croft.do('exec', 'web', 'dd if=/dev/urandom of=big bs=1M count=64 status=none && sync')
    const before = await taken()
    await croft.do('exec', 'web', 'rm big && sync && sudo systemctl start fstrim.service && sync')
    expect(before - (await taken())).toBeGreaterThan(60e6)
    const timer = await croft.do('exec', 'web', 'systemctl show fstrim.timer')
    for (const each of ['ActiveState=active', 'OnActiveUSec=2h', 'OnUnitActiveUSec=6d', 'RandomizedDelayUSec=22h'])
      expect(timer).toContain(each)
    expect(timer).not.toContain('TimersCalendar')
  })

  test('takes another name, inside too, and only one that is free', async () => {
    await croft.do('new', 'taken', '--stopped')
    expect(await croft.run(['rename', 'web', 'taken'])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('already'),
    })
    await croft.do('rename', 'web', 'shop')
    expect(await croft.do('exec', 'shop', 'hostname; cat /etc/hostname; getent hosts shop | wc -l')).toBe(
      'shop\nshop\n1\n',
    )
    expect(await croft.run(['show', 'web'])).toMatchObject({ code: 3 })
    await croft.do('rm', 'taken', '--yes')
  })

  test('grows its disk while it runs', async () => {
    expect(await croft.do('resize', 'shop', '--disk', '80G', '--memory', '1G')).toContain('next start')
    const size = Number(await croft.do('exec', 'shop', 'df --output=size -BG / | tail -1 | tr -dc 0-9'))
    expect(size).toBeGreaterThan(70)
    expect(await croft.run(['resize', 'shop', '--disk', '70G'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('shrink'),
    })
  })

  test('stops when asked, starts again with its disk and new limits', async () => {
    await croft.do('exec', 'shop', 'echo kept > file; sync')
    // It may refuse for a moment, when it has just started something else.
    const refuses = `#!/bin/sh\nln -sf ../bin/systemctl /usr/sbin/shutdown\nexit 1\n`
    await croft.do('exec', 'shop', `printf '${refuses}' > s; chmod +x s; sudo mv s /usr/sbin/shutdown`)
    expect(await croft.do('stop', 'shop')).toBe('shop is stopped.\n')
    expect(await croft.run(['exec', 'shop', 'true'])).toMatchObject({
      code: 1,
      stderr: 'shop is stopped.\nStart it: croft start shop\n',
    })
    await croft.do('start', 'shop')
    expect(await croft.do('exec', 'shop', 'cat file; hostname')).toBe('kept\nshop\n')
    const memory = await croft.do('exec', 'shop', 'sed -n "s/^MemTotal: *//p" /proc/meminfo')
    expect(Number.parseInt(memory, 10)).toBeLessThan(2 ** 20)
    expect(await croft.do('logs', 'shop', '--lines', '2000')).toContain('Welcome to Debian')
    // When it is reported awake, it can be entered: its port was open before its agent answered.
    const [port, agent] = (
      await croft.do(
        'exec',
        'shop',
        'systemctl show -P ActiveEnterTimestampMonotonic ssh.socket; systemctl show -P ExecMainStartTimestampMonotonic qemu-guest-agent',
      )
    ).split('\n')
    expect(Number(port)).toBeGreaterThan(0)
    expect(Number(port)).toBeLessThan(Number(agent))
  })

  test('that powers itself off shows as stopped at once', async () => {
    using events = await croft.events()
    await croft.run(['exec', 'shop', 'sudo systemd-run --quiet systemctl poweroff'])
    await events.until((event) => event.type === 'vm.state' && event.state === 'stopped')
    expect(await croft.do('ls', '-q', '--state', 'stopped')).toBe('shop\n')
    expect(Object.values((await croft.state()).vms)[0]!.power).toBe('off')
  })

  test('that panics shows as crashed, with its last console lines', async () => {
    await croft.do('start', 'shop')
    using events = await croft.events()
    const inside = croft.run(['exec', 'shop', 'sudo sh -c "echo c > /proc/sysrq-trigger"'])
    const event = await events.until((each) => each.type === 'vm.state' && each.state === 'crashed')
    expect(event.console).toContain('sysrq')
    expect(await inside).toMatchObject({ code: 255, stderr: 'shop stopped before the command ended.\n' })
    expect(await croft.run(['exec', 'shop', 'true'])).toMatchObject({
      stderr: expect.stringContaining('croft logs shop'),
    })
  })

  test('leaves nothing when it is deleted', async () => {
    const vm = Object.values((await croft.state()).vms)[0]!
    expect(await croft.run(['rm', 'shop'])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("It can't be undone"),
    })
    await croft.do('rm', 'shop', '--yes')
    expect((await croft.state()).vms).toEqual({})
    expect((await program('ls', [`${croft.folder}/vms`])).stdout).toBe('')
    expect(await must('virsh', ['-q', 'list', '--all', '--name'])).not.toContain(vm.id)
    expect(await must('virsh', ['net-dumpxml', names.name])).not.toContain(vm.mac)
    expect(await must('nft', ['list', 'table', 'bridge', names.table])).not.toContain(vm.mac)
  })

  test('that is being made is taken back by Ctrl-C, and nothing of it is left', async () => {
    expect(await croft.interrupt(3000, ['new', 'unwanted', '--cold'])).toMatchObject({
      code: 130,
      stderr: expect.stringMatching(/being undone[\s\S]*The change is rolled back\.\n$/),
    })
    expect(await croft.state()).toMatchObject({ vms: {}, operations: {} })
    expect((await program('ls', [`${croft.folder}/vms`])).stdout).toBe('')
  })
})
