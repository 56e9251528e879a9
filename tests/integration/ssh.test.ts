import { type ChildProcess, spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { hostname } from 'node:os'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { unforeseen } from '../../daemon/lib/process/outlive-errors.ts'
import type { Croft } from '../lib/croft.ts'
import { deep, sample } from '../lib/deep.ts'
import { gatewaySocket, type Laptop, type Reached, sshPort, startReached } from '../lib/gateway.ts'
import { must, program } from '../lib/program.ts'
import { SecurityKeyAgent, securityKeyTypes } from '../lib/security-key.ts'
import { Terminal } from '../lib/tmux.ts'

/** The SSH gateway, with OpenSSH's own client and what is built upon it: the lobby, and the way into a VM. */
let reached: Reached
let croft: Croft
let laptop: Laptop
const wait = { timeout: 60_000, interval: 100 }

beforeAll(async () => {
  reached = await startReached({ image: 'bare' })
  croft = reached.croft
  laptop = reached.laptop
  await croft.do('new', 'web')
})

afterAll(async () => {
  const unexpected = reached?.gateway.log.filter((line) => line.includes(unforeseen))
  await reached?.[Symbol.asyncDispose]()
  expect(unexpected).toEqual([])
})

const running = new Set<ChildProcess>()
afterAll(() => {
  for (const child of running) child.kill()
})

/** An OpenSSH program that runs beside the test. */
function start(...args: string[]): ChildProcess {
  const child = spawn('ssh', [...laptop.settings, ...args], { stdio: ['pipe', 'pipe', 'pipe'] })
  running.add(child)
  child.once('close', () => running.delete(child))
  return child
}

/** How a Croft command is written on the laptop. */
const inLobby = `ssh -p ${sshPort} croft@127.0.0.1`

const withoutWarning = (stderr: string) => stderr.replace(/^Warning: Permanently added.*\r?\n/, '')

describe('the lobby', () => {
  test('runs a command as the command line does: output, errors and exit codes', async () => {
    const lines = [
      ['ls', '-q'],
      ['show', 'web', '-q'],
      ['checkpoint', 'ls', 'web', '--json'],
      ['show', 'wbe'],
      ['nonsense'],
      ['rm', 'web'],
      ['help', 'ls'],
    ]
    for (const line of lines) {
      const [here, there] = await Promise.all([croft.run(line), laptop.ssh(['croft@box', ...line])])
      const asHere = (text: string) => withoutWarning(text).replaceAll(inLobby, 'croft')
      expect({ ...there, stdout: asHere(there.stdout), stderr: asHere(there.stderr) }).toEqual(here)
    }
  })

  test('says what to do as it is done from there', async () => {
    const stderrOf = async (...args: string[]) => withoutWarning((await laptop.ssh(args)).stderr)
    expect(await stderrOf('croft@box', 'nonsense')).toBe(
      `There is no command "nonsense".\n${inLobby} help lists them all.\n`,
    )
    expect(await laptop.ssh(['croft@box', 'new', 'hinted', '--stopped'])).toMatchObject({
      stdout: `hinted is made. Start it: ${inLobby} start hinted\n`,
    })
    expect(await stderrOf('hinted@box', 'true')).toContain(`Start it: ${inLobby} start hinted`)
    await croft.do('rm', 'hinted', '--yes')
    // The box's own name for itself means nothing to a laptop.
    const { stdout } = await laptop.ssh(['croft@box', 'ssh-config'])
    expect(stdout).toContain('HostName 127.0.0.1\n')
    expect(stdout).not.toContain(hostname())
  })

  test('takes standard input where there is use for it', async () => {
    const echoed = await laptop.ssh(['croft@box', 'exec', 'web', 'cat'], { input: 'hello' })
    expect(echoed).toMatchObject({ code: 0, stdout: 'hello' })
    const other = await laptop.key('other')
    const added = await laptop.ssh(['croft@box', 'key', 'add', '-', '--name', 'other', '--vm', 'web'], { input: other })
    expect(added).toMatchObject({ code: 0 })
    const file = await laptop.ssh(['croft@box', 'key', 'add', '/etc/passwd'])
    expect(file).toMatchObject({ code: 2, stderr: expect.stringContaining('standard input') })
  })

  test('writes down by which key, and from where', async () => {
    await laptop.ssh(['croft@box', 'comment', 'web', 'afar'])
    const { entries } = await croft.ask('activity')
    expect(entries.find((entry: any) => entry.command === 'comment')).toMatchObject({
      by: { kind: 'key', name: 'laptop' },
      from: { way: 'ssh', address: '127.0.0.1' },
    })
  })

  test('to a key that is limited to a VM shows that alone, by whatever way', async () => {
    await croft.do('new', 'shop', '--stopped')
    const asOther = await laptop.as('other')
    const only = (args: string[]) => program('ssh', [...asOther, ...args], { timeoutMs: 60_000 })
    for (const list of ['ls', 'top'])
      expect(await only(['croft@box', list, '-q'])).toMatchObject({ code: 0, stdout: 'web\n' })
    for (const list of ['ls', 'top']) {
      const seen = JSON.parse((await only(['croft@box', list, '--json'])).stdout)
      expect(seen).toMatchObject({ box: null, vms: [{ name: 'web', sshSessions: 0 }] })
      expect((await only(['croft@box', list])).stdout).toContain('1 awake')
    }
    expect(await only(['croft@box', 'complete', '--', 'show', ''])).toMatchObject({
      stdout: expect.not.stringContaining('shop'),
    })
    expect(await only(['croft@box', 'show', 'shop'])).toMatchObject({ code: 4 })
    expect(await only(['shop@box', 'true'])).toMatchObject({ code: 4 })
    expect((await only(['-W', 'shop:22', 'croft@box'])).code).not.toBe(0)
    expect(await only(['web@box', 'echo in'])).toMatchObject({ code: 0, stdout: 'in\n' })
    // Removing a key ends the sessions that it opened.
    const open = spawn('ssh', [...asOther, 'web@box', 'echo in; sleep 100'])
    const ended = once(open, 'exit')
    await once(open.stdout, 'data')
    await croft.do('key', 'rm', 'other', '--yes')
    await ended
    expect((await only(['croft@box', 'ls'])).code).toBe(255)
    await croft.do('rm', 'shop', '--yes')
  })
})

test('the lobby’s prompt has completion and history, waits for VMs, asks, and enters one', async () => {
  await using terminal = await Terminal.open('lobby', { columns: 100, rows: 30 }, [
    'ssh',
    ...laptop.settings,
    'croft@box',
  ])
  const { tmux, type, shows } = terminal
  await shows(/1 VM: 1 awake[\s\S]*croft>$/)
  await type('sho')
  await type('Tab')
  await shows(/croft> show$/)
  await type('w')
  await shows(/croft> show w$/)
  await type('Tab')
  await shows(/croft> show web$/)
  await type('Enter')
  await shows(/croft> show web\nweb {3}awake/)
  await type('C-l', 'new tmp', 'Enter')
  await shows(/tmp is ready[\s\S]*croft>$/)
  await type('rm tmp', 'Enter')
  await shows(/Delete it\? \[y\/N\]$/)
  await type('n', 'Enter')
  await shows(/Nothing was done\.\ncroft>$/)
  await type('Up', 'Enter')
  await shows(/Nothing was done[\s\S]*Delete it\? \[y\/N\]$/)
  await type('y', 'Enter')
  await shows(/tmp is deleted\.\ncroft>$/)
  await type('C-l', 'logs -f web', 'Enter')
  await shows(/logs -f web$/)
  await laptop.ssh(['root+web@box', 'echo on the console > /dev/console'])
  await shows(/on the console/)
  await type('C-c')
  await shows(/\^C\ncroft>$/)
  await type('C-l', 'ssh web', 'Enter')
  await shows(/dev@web:~\$$/)
  await type('stty size', 'Enter')
  await shows(/30 100/)
  await type('exit', 'Enter')
  await shows(/logout\n[\s\S]*croft>$/)
  await type('half a line', 'C-c')
  await shows(/half a line\^C\ncroft>$/)
  await type('C-z', 'C-d')
  await vi.waitFor(async () => expect(await tmux('list-sessions').catch(() => 'none')).toBe('none'), wait)
})

test('top in the lobby goes on until it is left, and then the prompt is back', async () => {
  await croft.do('new', 'still', '--stopped')
  await using terminal = await Terminal.open('top', { columns: 80, rows: 24 }, ['ssh', ...laptop.settings, 'croft@box'])
  const { type, shows } = terminal
  await shows(/croft>$/)
  await type('top --every 1s', 'Enter')
  await shows(/croft> top --every 1s\nThe box {3}VMs by CPU; Ctrl-C quits\n[\s\S]*\nweb +awake .*\nstill +stopped .*$/)
  expect(await terminal.cursorSeen()).toBe(false)
  const session = start('web@box', 'echo in; sleep 100')
  await once(session.stdout!, 'data')
  await shows(/\nweb +awake .* an SSH session\nstill /)
  await type('typed while it shows')
  await terminal.resize(60, 12)
  await shows(/\nweb +awake .*\nstill +stopped.*$/)
  await type('C-c')
  await shows(/The box[\s\S]*\nweb +awake .*\nstill +stopped.*\ncroft>$/)
  expect(await terminal.screen()).not.toMatch(/The operation continues|\^C/)
  expect(await terminal.cursorSeen()).toBe(true)
  session.kill()
  await type('C-l', 'top --sort name', 'Enter')
  await shows(/VMs by name; [\s\S]*\nstill +stopped.*\nweb +awake/)
  await type('q')
  await shows(/\nweb +awake.*\ncroft>$/)
  await croft.do('rm', 'still', '--yes')
  expect((await laptop.ssh(['croft@box', 'top'])).stdout).toMatch(/^The box {3}VMs by CPU\n[\s\S]*\nweb +awake .*\n$/)
})

const watches = [['top'], ['logs', '-f', 'web']]
test.each(sample(watches, watches[1]!))('nothing goes on for a client that went away in %s', async (...line) => {
  /** Connections from the gateway to the daemon. One stays: the link by which each tells the other what happens. */
  const asking = async () =>
    (await must('ss', ['-xH'])).split('\n').filter((each) => each.includes(gatewaySocket)).length
  const idle = () => vi.waitFor(async () => expect(await asking()).toBe(1), wait)
  await idle()
  await laptop.ssh(['root+web@box', 'echo on the console > /dev/console'])
  const child = start('-tt', 'croft@box', ...line)
  await once(child.stdout!, 'data')
  expect(await asking()).toBeGreaterThan(1)
  child.kill('SIGKILL')
  await idle()
})

test('a client that disconnects at the prompt affects nobody else', async () => {
  const { pid } = reached.gateway
  const child = start('-tt', 'croft@box')
  await once(child.stdout!, 'data')
  const ended = once(child, 'exit')
  child.kill('SIGKILL')
  await ended
  expect(await laptop.ssh(['croft@box', 'ls', '-q'])).toMatchObject({ code: 0, stdout: 'web\n' })
  expect(reached.gateway.log.filter((line) => line.includes(unforeseen))).toEqual([])
  expect(reached.gateway.pid).toBe(pid)
})

describe('a VM', () => {
  test('runs a command with its input, both outputs and its exit code', async () => {
    const input = randomBytes(3_000_000)
    const ended = await laptop.ssh(['web@box', 'sha256sum; echo complaint >&2; exit 7'], { input })
    const digest = createHash('sha256').update(input).digest('hex')
    expect({ ...ended, stderr: withoutWarning(ended.stderr) }).toEqual({
      code: 7,
      stdout: `${digest}  -\n`,
      stderr: 'complaint\n',
    })
  })

  test('hands over much on both outputs at once, each byte of it once, to a client that reads slowly', async () => {
    const half = 3_000_000
    const child = start(
      'web@box',
      `(head -c ${half} /dev/zero | tr '\\0' o) & (head -c ${half} /dev/zero | tr '\\0' e >&2) & wait`,
    )
    const sizes = { o: 0, e: 0 }
    for (const [stream, kind] of [
      [child.stdout!, 'o'],
      [child.stderr!, 'e'],
    ] as const)
      stream.on('data', (chunk: Buffer) => {
        sizes[kind] += chunk.length
        if (!chunk.every((byte) => byte === kind.charCodeAt(0))) sizes[kind] = Number.NaN
        stream.pause()
        setTimeout(() => stream.resume(), 1)
      })
    expect(await once(child, 'close')).toEqual([0, null])
    expect(sizes).toEqual({ o: half, e: half })
  })

  test('tells by which signal a command ended, and takes signals', async () => {
    expect((await laptop.ssh(['web@box', 'kill -TERM $$'])).code).toBe(255)
    const seen = await laptop.ssh(['-v', 'web@box', 'kill -TERM $$'])
    expect(seen.stderr).toMatch(/exit-signal/)
  })

  test('is entered as another of its users', async () => {
    expect(await laptop.ssh(['root+web@box', 'id -un'])).toMatchObject({ code: 0, stdout: 'root\n' })
    const none = await laptop.ssh(['nobody1+web@box', 'true'])
    expect(none).toMatchObject({ code: 255, stderr: expect.stringContaining('there is no user nobody1') })
  })

  test('has a terminal of the client’s size, and its environment', async () => {
    const { stdout } = await laptop.ssh(
      ['-tt', '-o', 'SetEnv=LC_CROFT=there', 'web@box', 'echo $TERM $LC_CROFT; stty size'],
      {
        env: { ...process.env, TERM: 'xterm-256color' },
      },
    )
    expect(stdout).toMatch(/^xterm-256color there\r\n\d+ \d+\r\n/)
  })

  test('that sleeps is woken, and one that is stopped is not started', async () => {
    await croft.do('sleep', 'web')
    expect(await laptop.ssh(['web@box', 'echo awake'])).toMatchObject({ code: 0, stdout: 'awake\n' })
    await croft.do('new', 'off')
    await croft.do('stop', 'off')
    expect(await laptop.ssh(['off@box', 'true'])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(`${inLobby} start off`),
    })
    await croft.do('rm', 'off', '--yes')
    expect(await laptop.ssh(['nothing@box', 'true'])).toMatchObject({
      code: 3,
      stderr: expect.stringContaining('No VM called'),
    })
  })

  test('that is put to sleep under a session keeps it, and wakes when something is typed', async () => {
    const child = start('web@box', 'echo in; read line; echo "got $line"')
    const said = text(child.stdout!)
    await vi.waitFor(async () => expect(await croft.ask('show', { vm: 'web' })).toMatchObject({ sshSessions: 1 }), wait)
    await croft.do('sleep', 'web')
    child.stdin!.end('hello\n')
    expect(await said).toBe('in\ngot hello\n')
    await vi.waitFor(async () => expect(await croft.ask('show', { vm: 'web' })).toMatchObject({ state: 'awake' }), wait)
  })

  test('forwards ports of its own to the client, and the client’s to itself', async () => {
    const server = createServer((_, response) => response.end('from the laptop')).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const local = sshPort + 300
    const child = start(
      ...['-N', '-L', `${local}:127.0.0.1:22`, '-R', `9555:127.0.0.1:${port}`, '-D', `${local + 1}`, 'web@box'],
      ...['-o', 'ExitOnForwardFailure=yes'],
    )
    try {
      const keys = () => must('ssh-keyscan', ['-t', 'ed25519', '-p', String(local), '127.0.0.1'])
      await vi.waitFor(async () => expect(await keys()).toContain('ssh-ed25519'), wait)
      const asked = await laptop.ssh([
        'web@box',
        "exec 3<>/dev/tcp/127.0.0.1/9555; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3",
      ])
      expect(asked.stdout).toContain('from the laptop')
      const socks = `socks5h://127.0.0.1:${local + 1}`
      const banner = await program('curl', ['-s', '--http0.9', '-m', '20', '-x', socks, 'telnet://127.0.0.1:22'], {
        input: '',
      })
      expect(banner.stdout).toContain('SSH-2.0-OpenSSH')
    } finally {
      child.kill()
      server.close()
    }
  })

  test('asks the client’s own agent', async () => {
    const socket = laptop.path('agent')
    const agent = spawn('ssh-agent', ['-D', '-a', socket], { stdio: 'ignore' })
    try {
      await vi.waitFor(
        () => must('ssh-add', ['-q', laptop.path('id_ed25519')], { env: { ...process.env, SSH_AUTH_SOCK: socket } }),
        wait,
      )
      const env = { ...process.env, SSH_AUTH_SOCK: socket }
      const listed = await laptop.ssh(['-A', 'web@box', 'ssh-add -L'], { env })
      expect(listed.stdout.split(' ')[1]).toBe((await readFile(laptop.path('id_ed25519.pub'), 'utf8')).split(' ')[1])
    } finally {
      agent.kill()
    }
  })

  test('is behind the lobby for an ssh of one’s own, from end to end', async () => {
    const ended = await laptop.ssh(['-J', 'croft@box', '-p', '22', '-o', 'HostName=web', 'dev@web', 'hostname'])
    expect(ended).toMatchObject({ stdout: 'web\n' })
  })

  test('is a host like any other with the settings that ssh-config prints, and its host key is known', async () => {
    const { stdout } = await laptop.ssh(['croft@box', 'ssh-config', '--host', '127.0.0.1'])
    const config = laptop.path('config-own')
    // The file that is ~/.ssh/config elsewhere must be named here.
    const own = stdout.replaceAll(/\bssh -p/g, `ssh -F ${laptop.path('config')} -p`)
    await writeFile(config, `${own}  UserKnownHostsFile /dev/null\n  IdentityFile ${laptop.path('id_ed25519')}\n`)
    const ssh = (...args: string[]) => program('ssh', ['-F', config, ...args], { timeoutMs: 60_000 })
    expect(await ssh('web.localhost', 'hostname; id -un')).toMatchObject({ code: 0, stdout: 'web\ndev\n' })
    await must('rsync', ['-e', `ssh -F ${config}`, laptop.path('config'), 'web.localhost:config'])
    // Another VM's key is not accepted for it.
    await croft.do('new', 'other')
    await writeFile(
      laptop.path('config-wrong'),
      (await readFile(config, 'utf8')).replace('--known-host %H', '--known-host other.localhost'),
    )
    const wrong = await program('ssh', [
      '-F',
      laptop.path('config-wrong'),
      '-o',
      'HostKeyAlias=other.localhost',
      'web.localhost',
      'true',
    ])
    expect(wrong.code).toBe(255)
    expect(wrong.stderr).toContain('HOST IDENTIFICATION HAS CHANGED')
    await croft.do('rm', 'other', '--yes')
  })

  test('can’t write to the terminal of somebody who reads its console', async () => {
    await laptop.ssh(['root+web@box', "printf '\\033]0;evil\\007 said by the guest\\n' > /dev/console"])
    await vi.waitFor(async () => {
      const { stdout } = await laptop.ssh(['-tt', 'croft@box', 'logs', 'web'])
      expect(stdout).toContain('said by the guest')
      expect(stdout).not.toMatch(/\u001b\]0|\u0007/)
    }, wait)
  })

  test('refuses X11, and the client says so', async () => {
    const ended = await laptop.ssh(['-v', '-X', 'web@box', 'true'], { env: { ...process.env, DISPLAY: ':9' } })
    expect(ended.code).toBe(0)
    expect(ended.stderr).toMatch(/X11 forwarding request failed|No xauth/)
  })

  test('takes files by scp, sftp, rsync and git, many sessions by one connection', async () => {
    const tree = laptop.path('tree')
    await mkdir(`${tree}/deep`, { recursive: true })
    await writeFile(`${tree}/one`, randomBytes(100_000))
    await writeFile(`${tree}/deep/two words`, 'two')
    const ssh = `ssh -F ${laptop.path('config')}`
    await must('scp', [...laptop.settings, '-r', tree, 'web@box:by-scp'])
    await must('scp', [...laptop.settings, '-O', `${tree}/one`, 'web@box:by-old-scp'])
    await must('sftp', [...laptop.settings, '-b', '-', 'web@box'], {
      input: `put ${tree}/one by-sftp\nget by-sftp ${laptop.path('back')}\n`,
    })
    expect(await readFile(laptop.path('back'))).toEqual(await readFile(`${tree}/one`))
    await must('rsync', ['-a', '-e', ssh, `${tree}/`, 'web@box:by-rsync'])
    const sums = await laptop.ssh([
      'web@box',
      'sha256sum by-scp/one by-old-scp by-sftp by-rsync/one | cut -c1-64 | uniq; cat "by-rsync/deep/two words"',
    ])
    const digest = createHash('sha256')
      .update(await readFile(`${tree}/one`))
      .digest('hex')
    expect(sums.stdout).toBe(`${digest}\ntwo`)

    const env = { ...process.env, GIT_SSH_COMMAND: ssh, HOME: laptop.folder }
    const git = (...args: string[]) =>
      must('git', ['-C', tree, '-c', 'user.name=a', '-c', 'user.email=a@b', ...args], { env })
    const inVm = await laptop.ssh(['web@box', 'command -v git'])
    await git('init', '-q', '-b', 'main')
    await git('add', '.')
    await git('commit', '-q', '-m', 'first')
    if (inVm.code === 0) {
      await laptop.ssh(['web@box', 'git init -q --bare repo.git'])
      await git('push', '-q', 'web@box:repo.git', 'main')
      expect((await laptop.ssh(['web@box', 'git -C repo.git log --format=%s main'])).stdout).toBe('first\n')
    }

    const control = ['-o', `ControlPath=${laptop.path('control')}`]
    const master = start(...control, '-M', '-N', 'web@box')
    await vi.waitFor(() => must('ssh', [...laptop.settings, ...control, '-O', 'check', 'web@box']), wait)
    // The VM's sshd takes ten on one connection.
    const all = Array.from({ length: 15 }, () => start(...control, 'web@box', 'echo in; exec cat'))
    await Promise.all(all.map((child) => once(child.stdout!, 'data')))
    const said = all.map((child) => text(child.stdout!))
    for (const child of all) child.stdin!.end('out')
    expect(await Promise.all(said)).toEqual(Array(15).fill('out'))
    // One may be longer than an ordinary packet, and the others go on.
    const long = await laptop.ssh([...control, 'web@box', `echo ${'x'.repeat(100_000)} | wc -c`])
    expect(long).toMatchObject({ code: 0, stdout: '100001\n' })
    master.kill()
    await once(master, 'exit')
  })
})

test.runIf(deep)('Ansible reaches three VMs by their names, and sets them up', async () => {
  const names = ['web', 'ans-one', 'ans-two']
  await Promise.all(names.slice(1).map((name) => croft.do('new', name)))
  const inventory = names.map(
    (name) => `${name} ansible_user=${name} ansible_ssh_common_args='-F ${laptop.path('config')}'`,
  )
  await writeFile(laptop.path('hosts'), `${inventory.join('\n')}\n`)
  await writeFile(
    laptop.path('play.yml'),
    JSON.stringify([
      {
        hosts: 'all',
        gather_facts: false,
        tasks: [
          { copy: { dest: '/etc/motd', content: 'this is {{ inventory_hostname }}\n' }, become: true },
          { command: { cmd: 'hostname' }, register: 'said', changed_when: false },
          { assert: { that: 'said.stdout == inventory_hostname' } },
        ],
      },
    ]),
  )
  const env = {
    ...process.env,
    HOME: laptop.folder,
    ANSIBLE_PIPELINING: 'true',
    ANSIBLE_PYTHON_INTERPRETER: '/usr/bin/python3',
  }
  const inventoryOf = ['-i', laptop.path('hosts')]
  const pinged = await must('ansible', [...inventoryOf, 'all', '-m', 'ping'], { env })
  expect(pinged.match(/pong/g)).toHaveLength(3)
  const played = await must('ansible-playbook', [...inventoryOf, laptop.path('play.yml')], { env })
  expect(played.match(/ok=3 +changed=1 +unreachable=0 +failed=0/g)).toHaveLength(3)
  expect((await laptop.ssh(['ans-two@box', 'cat /etc/motd'])).stdout).toBe('this is ans-two\n')
  for (const name of names.slice(1)) await croft.do('rm', name, '--yes')
})

describe('whoever may not enter', () => {
  test('is told which key it was, and the command that admits it, which works', async () => {
    const line = await laptop.key('stranger')
    const asStranger = await laptop.as('stranger')
    const refused = await program('ssh', [...asStranger, 'croft@box', 'ls'], { timeoutMs: 60_000 })
    expect(refused.code).toBe(255)
    const [, shown] = /croft key add - <<< '([^']+)'/.exec(refused.stderr) ?? []
    expect(shown).toBe(line.split(' ').slice(0, 2).join(' '))
    const print = (await must('ssh-keygen', ['-lf', laptop.path('stranger.pub')])).split(' ')[1]
    expect(refused.stderr).toContain(print)
    const added = await croft.run(['key', 'add', '-', '--name', 'stranger'], { input: shown! })
    expect(added.code).toBe(0)
    expect(await program('ssh', [...asStranger, 'croft@box', 'ls', '-q'], { timeoutMs: 60_000 })).toMatchObject({
      code: 0,
    })
  })

  test('is let in by a certificate of a CA that the owner trusts, for as long and as much as it says', async () => {
    await Promise.all([laptop.key('ca'), laptop.key('ann')])
    const asAnn = await laptop.as('ann')
    const sign = (...more: string[]) =>
      must('ssh-keygen', ['-q', '-s', laptop.path('ca'), '-I', 'Ann', '-n', 'croft', ...more, laptop.path('ann.pub')])
    const ssh = (...args: string[]) => program('ssh', [...asAnn, ...args], { timeoutMs: 60_000 })
    await sign('-V', '+1h')
    expect(await ssh('croft@box', 'ls')).toMatchObject({ code: 255, stderr: expect.stringContaining('does not trust') })
    await croft.do('key', 'add', laptop.path('ca.pub'), '--name', 'ca', '--authority')
    expect(await ssh('croft@box', 'comment', 'web', 'by-Ann')).toMatchObject({ code: 0 })
    const { entries } = await croft.ask('activity')
    const comment = entries.find((entry: any) => entry.command === 'comment' && entry.what.includes('by-Ann'))
    expect(comment.by).toMatchObject({ name: 'ca, as Ann' })
    await sign('-V', '+1h', '-O', 'no-pty', '-O', 'no-port-forwarding')
    expect(await ssh('-tt', 'web@box', 'tty')).toMatchObject({ stderr: expect.stringContaining('PTY allocation') })
    expect((await ssh('-W', '127.0.0.1:22', 'web@box')).code).not.toBe(0)
    await sign('-V', '-2h:-1h')
    expect(await ssh('croft@box', 'ls')).toMatchObject({ code: 255, stderr: expect.stringContaining('certificate') })
    await croft.do('key', 'rm', 'ca', '--yes')
  })

  test('is let in by a security key', async () => {
    for (const type of securityKeyTypes) {
      await using agent = await SecurityKeyAgent.start(laptop.path(`${type}.sock`), type)
      await writeFile(laptop.path(type), `${agent.publicKey}\n`)
      await croft.do('key', 'add', laptop.path(type), '--name', type)
      const as = [...(await laptop.as(type)), '-o', `IdentityAgent=${agent.path}`]
      expect(await program('ssh', [...as, 'croft@box', 'ls', '-q'])).toMatchObject({ code: 0 })
      agent.touched = false
      expect((await program('ssh', [...as, 'croft@box', 'ls', '-q'])).code).toBe(255)
      await croft.do('key', 'rm', type, '--yes')
    }
  })

  test('has no password to try, and none but current algorithms', async () => {
    const seen = await laptop.ssh(['-vv', '-o', 'PreferredAuthentications=none', 'croft@box'])
    expect(seen.stderr).toContain('Authentications that can continue: publickey,keyboard-interactive')
    const [, offer = ''] = seen.stderr.split('peer server KEXINIT proposal')
    const offered = [
      ...offer.matchAll(
        /^debug2: (?:KEX algorithms|host key algorithms|ciphers ctos|MACs ctos|compression ctos): (.*)\r?$/gm,
      ),
    ]
    const algorithms = offered.flatMap(([, list]) => list!.split(',')).sort()
    expect(algorithms).toEqual(
      [
        ...['aes128-gcm@openssh.com', 'aes256-ctr', 'aes256-gcm@openssh.com', 'chacha20-poly1305@openssh.com'],
        ...['curve25519-sha256', 'curve25519-sha256@libssh.org'],
        ...['ecdh-sha2-nistp256', 'ecdh-sha2-nistp384', 'ecdh-sha2-nistp521', 'kex-strict-s-v00@openssh.com'],
        ...['hmac-sha2-256-etm@openssh.com', 'hmac-sha2-512-etm@openssh.com', 'none', 'ssh-ed25519'],
      ].sort(),
    )
  })
})

test.runIf(deep)('the daemon is started again under 20 sessions that send much, and all go on', async () => {
  const size = 1_000_000
  const input = randomBytes(size)
  const digest = createHash('sha256').update(input).digest('hex')
  // This is about sessions; connections to an emulated VM take seconds each.
  const controls = Array.from({ length: 4 }, (_, i) => ['-o', `ControlPath=${laptop.path(`master-${i}`)}`])
  const masters = controls.map((control) => start(...control, '-M', '-N', 'web@box'))
  await vi.waitFor(
    () =>
      Promise.all(controls.map((control) => must('ssh', [...laptop.settings, ...control, '-O', 'check', 'web@box']))),
    wait,
  )
  const children = Array.from({ length: 20 }, (_, i) => start(...controls[i % 4]!, 'web@box', 'sha256sum'))
  const answers = children.map((child) => text(child.stdout!))
  for (const child of children) child.stdin!.write(input.subarray(0, size / 2))
  await vi.waitFor(async () => expect((await croft.ask('stat', { vm: 'web' })).use?.why).toBe('4 SSH sessions'), wait)
  await croft.kill('SIGKILL')
  for (const child of children) child.stdin!.end(input.subarray(size / 2))
  await croft.start()
  expect(await Promise.all(answers)).toEqual(Array(20).fill(`${digest}  -\n`))
  for (const master of masters) master.kill()
  await vi.waitFor(async () => expect((await croft.ask('stat', { vm: 'web' })).use?.now ?? false).toBe(false), wait)
})

test('a gateway that is killed ends its sessions and no more, and works again', async () => {
  const child = start('web@box', 'echo in; sleep 1000')
  await once(child.stdout!, 'data')
  const ended = once(child, 'exit')
  await reached.gateway.kill('SIGTERM')
  expect((await ended)[0]).toBe(255)
  await reached.gateway.start()
  expect(await laptop.ssh(['web@box', 'echo back'])).toEqual({ code: 0, stdout: 'back\n', stderr: expect.any(String) })
})
