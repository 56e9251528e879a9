import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { type IncomingMessage, request } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Conversation } from '../../daemon/cli/conversation.ts'
import { TestCaddy } from '../lib/caddy.ts'
import { Client, enter } from '../lib/client.ts'
import { httpPort, slot } from '../lib/croft.ts'
import { sshPort, startReached } from '../lib/gateway.ts'
import { serveIn } from '../lib/guest-server.ts'
import { Inspector, type Memory } from '../lib/inspector.ts'
import { residentMb } from '../lib/process.ts'
import { program } from '../lib/program.ts'
import type { Figure } from './figures.ts'

/** How often each kind runs. Those that enter or save an emulated guest take seconds, and run less often. */
const times = Number(process.env.CROFT_SOAK ?? 1000)
/** Runs only kinds whose name contains this; all if unset. */
const only = process.env.CROFT_SOAK_ONLY ?? ''
/** Folder for heap snapshots before and after each kind. They cost time, and memory of the inspected process. */
const snapshots = process.env.CROFT_SOAK_SNAPSHOTS
/** Unused grants, and connections kept for the next command, are released within this time, in ms. */
const settleMs = 2000

interface Kind {
  name: string
  /** How often, of a thousand. */
  of?: number
  /** How many at once. */
  width?: number
  once(i: number): Promise<unknown>
}

type Seen = Record<'daemon' | 'gateway', Memory & { busy: number }>

/**
 * A day of a box in short: a daemon, a gateway, a Caddy and one VM, and everything that can be asked of them a thousand
 * times over, one kind after the other. Reports the memory of the daemon and the gateway before and after each.
 */
export async function soakFigures(): Promise<Figure[]> {
  await using ends = new AsyncDisposableStack()
  const [daemonPort, gatewayPort] = [17_500 + slot, 17_510 + slot]
  const caddy = ends.use(await TestCaddy.start())
  const reached = ends.use(
    await startReached(
      { image: 'bare', config: { web: caddy.web }, env: Inspector.env(daemonPort) },
      Inspector.env(gatewayPort),
    ),
  )
  const { croft, gateway, laptop } = reached
  await croft.do('new', 'web')
  await serveIn(croft, 'web', 8000, 9000)
  await croft.do('share', 'public', 'web', '9000')
  const daemon = ends.use(await Inspector.open(croft.pid, daemonPort))
  const door = ends.use(await Inspector.open(gateway.pid, gatewayPort))

  const owner = await enter(croft, 'web-8000')
  const { url } = await croft.ask('share-link', { vm: 'web', port: 8000 })
  const linkPath = new URL(url).pathname + new URL(url).search
  const guest = await (async () => {
    using client = new Client()
    const { headers } = await client.get('web-8000', linkPath)
    return { Cookie: headers['set-cookie']![0]!.split(';')[0]! }
  })()
  const token = (await readFile(join(croft.folder, 'token'), 'utf8')).trim()
  await laptop.key('unknown')
  const unknown = await laptop.as('unknown')
  await writeFile(laptop.path('file'), Buffer.alloc(256 * 1024, 'x'))
  const megabyte = Buffer.alloc(1024 * 1024, 'y')
  const much = Buffer.alloc(16 * 1024 * 1024, 'z')
  const zeroes = `head -c ${much.length} /dev/zero`

  /** Does what the command line does, without a process for each call. */
  const croftSays = async (argv: string[], exit = 0, input?: Buffer) => {
    const conversation = new Conversation(
      { socketPath: croft.socket, argv, terminal: null, uid: 0, cwd: '/' },
      {
        write: async () => {},
        progress: () => {},
        show: () => never(),
        ask: () => never(),
        read: () => never(),
        run: () => never(),
      },
    )
    if (input) for (let at = 0; at < input.length; at += 65536) await conversation.stdin(input.subarray(at, at + 65536))
    await conversation.stdin(null)
    const code = await conversation.exit
    if (code !== exit) throw new Error(`croft ${argv.join(' ')} ended with ${code}`)
  }
  const get = async (label: string, path: string, headers: Record<string, string>, status: number, client?: Client) => {
    using own = client ? undefined : new Client()
    const answer = await (client ?? own!).get(label, path, headers)
    if (answer.status !== status) throw new Error(`${label}${path}: ${answer.status} ${answer.body}`)
  }
  const kept = ends.use(new Client())
  const ssh = async (code: number, args: string[], input: string | Buffer = '') => {
    const ended = await laptop.ssh(args, { input })
    if (ended.code !== code) throw new Error(`ssh ${args.join(' ')} ended with ${ended.code}: ${ended.stderr}`)
  }
  const http = (port: string) => `GET / HTTP/1.1\r\nHost: ${port}\r\nConnection: close\r\n\r\n`

  const kinds: Kind[] = [
    { name: 'commands: ls', once: () => croftSays(['ls']) },
    { name: 'commands: show', once: () => croftSays(['show', 'web']) },
    { name: 'commands: stat', once: () => croftSays(['stat', 'web']) },
    { name: 'commands: top --json', once: () => croftSays(['top', '--json']) },
    { name: 'commands: activity --json', once: () => croftSays(['activity', '--json']) },
    { name: 'commands by POST', once: () => croft.ask('ls') },
    {
      name: 'commands that fail',
      once: (i) =>
        [
          () => croftSays(['show', `no-${i}`], 3),
          () => croftSays([`nonsense${i}`], 2),
          () => croftSays(['rm', 'web'], 1),
        ][i % 3]!(),
    },
    {
      name: 'listeners to /api/events',
      once: async () => {
        using events = await croft.events()
        await events.until(({ event }) => event === 'state')
      },
    },
    { name: 'web, the owner, kept', width: 1, once: () => get('web-8000', '/', owner, 200, kept) },
    { name: 'web, the owner, a connection each', once: () => get('web-8000', '/', owner, 200) },
    { name: 'web, a guest by a link, kept', width: 1, once: () => get('web-8000', '/', guest, 200, kept) },
    { name: 'web, a guest by a link, a connection each', once: () => get('web-8000', '/', guest, 200) },
    { name: 'web, a link opened', once: () => get('web-8000', linkPath, {}, 303) },
    { name: 'web, a stranger, public, kept', width: 1, once: () => get('web-9000', '/', {}, 200, kept) },
    { name: 'web, a stranger, public, a connection each', once: () => get('web-9000', '/', {}, 200) },
    { name: 'web, a stranger, private', once: () => get('web-8000', '/', {}, 401) },
    { name: 'web, a stranger, names that are none', once: (i) => get(`none${i}`, '/', {}, 401) },
    { name: 'web, WebSockets', once: (i) => webSocket(i % 2 ? 'web-9000' : 'web-8000', i % 2 ? {} : owner) },
    { name: 'sign-ins', once: () => signIn(croft) },
    { name: 'ssh: the lobby, a command', once: () => ssh(0, ['croft@box', 'ls', '-q']) },
    { name: 'ssh: the lobby, its prompt', of: 300, once: () => ssh(0, ['-tt', 'croft@box'], 'ls\nexit\n') },
    { name: 'ssh: the lobby, -W', of: 300, once: () => ssh(0, ['-W', 'web:9000', 'croft@box'], http('web')) },
    {
      name: 'ssh: keys that may not enter',
      once: async () => void (await program('ssh', [...unknown, '-o', 'BatchMode=yes', 'web@box', 'true'])),
    },
    { name: 'ssh: connections that say nothing', once: (i) => silence(i % 2 === 0) },
    { name: 'ssh: exec', of: 100, once: () => ssh(0, ['web@box', 'true']) },
    { name: 'ssh: a shell', of: 40, once: () => ssh(0, ['-tt', 'web@box'], 'exit\n') },
    { name: 'ssh: -W', of: 40, once: () => ssh(0, ['-W', 'localhost:9000', 'web@box'], http('web')) },
    {
      name: 'ssh: scp',
      of: 40,
      once: async () => {
        const { code, stderr } = await program('scp', [...laptop.settings, laptop.path('file'), 'web@box:'])
        if (code !== 0) throw new Error(stderr)
      },
    },
    { name: 'terminals of the console', of: 40, once: () => terminal(croft.port, token) },
    { name: 'exec', of: 300, once: () => croftSays(['exec', 'web', 'true']) },
    { name: 'uploads of 1 MiB', of: 100, once: () => croftSays(['exec', 'web', 'cat > /dev/null'], 0, megabyte) },
    { name: 'streams: exec, 16 MiB from the VM', of: 20, once: () => croftSays(['exec', 'web', zeroes]) },
    { name: 'streams: ssh, 16 MiB from the VM', of: 20, once: () => ssh(0, ['web@box', zeroes]) },
    { name: 'streams: ssh, 16 MiB to the VM', of: 20, once: () => ssh(0, ['web@box', 'cat > /dev/null'], much) },
    {
      name: 'sleep and wake',
      of: 50,
      width: 1,
      once: async () => {
        await croft.ask('sleep', { vm: 'web' })
        await croft.ask('wake', { vm: 'web' })
      },
    },
    {
      name: 'checkpoint and its removal',
      of: 50,
      width: 1,
      once: async () => {
        const { label } = await croft.ask('checkpoint', { vm: 'web' })
        await croft.ask('checkpoint-rm', { vm: 'web', label, yes: true })
      },
    },
    {
      name: 'new and rm',
      of: 50,
      width: 1,
      once: async (i) => {
        await croft.ask('new', { name: `b${i}x` })
        await croft.ask('rm', { vm: `b${i}x`, yes: true })
      },
    },
  ]

  const look = async (): Promise<Seen> => {
    const [busyDaemon, busyGateway] = await Promise.all([residentMb(croft.pid), residentMb(gateway.pid)])
    await delay(settleMs)
    for (const each of [daemon, door]) await each.collectGarbage()
    return {
      daemon: { ...(await daemon.memory()), busy: busyDaemon },
      gateway: { ...(await door.memory()), busy: busyGateway },
    }
  }
  const keep = async (name: string) => {
    if (!snapshots) return
    await mkdir(snapshots, { recursive: true })
    const file = (of: string) => join(snapshots, `${name.replaceAll(/[^a-z0-9]+/gi, '-')}-${of}.heapsnapshot`)
    await daemon.snapshot(file('daemon'))
    await door.snapshot(file('gateway'))
  }

  const rows = [
    '| kind | n | s | daemon: heap | external | RSS at its end | RSS | gateway: heap | external | RSS at its end | RSS |',
    `|${' --- |'.repeat(11)}`,
  ]
  for (const kind of kinds.filter(({ name }) => name.includes(only))) {
    const { name, of = 1000, width = 4, once } = kind
    const n = Math.max(5, Math.round((times * of) / 1000))
    // What the first of a kind loads and creates stays, and does not count.
    await inTurns(Math.ceil(n / 10), width, once)
    const before = await look()
    await keep(`${name} before`)
    const began = performance.now()
    await inTurns(n, width, (i) => once(i + n))
    const seconds = (performance.now() - began) / 1000
    const after = await look()
    await keep(`${name} after`)
    const cells = (['daemon', 'gateway'] as const).flatMap((which) => {
      const [one, other] = [before[which], after[which]]
      const change = (key: 'heapUsed' | 'external' | 'rss') => `${megabytes(one[key])} → ${megabytes(other[key])}`
      return [change('heapUsed'), change('external'), other.busy.toFixed(0), change('rss')]
    })
    rows.push(`| ${name} | ${n} | ${seconds.toFixed(0)} | ${cells.join(' | ')} |`)
    console.log(rows.at(-1))
  }
  console.log(`\nMB; heap, external and RSS after a garbage collection\n${rows.join('\n')}\n`)
  return [
    { what: 'the daemon after all, resident', unit: 'MB', values: [await residentMb(croft.pid)], aim: 200 },
    { what: 'the gateway after all, resident', unit: 'MB', values: [await residentMb(gateway.pid)], aim: 150 },
  ]
}

const megabytes = (bytes: number) => (bytes / 1024 / 1024).toFixed(1)
const never = (): Promise<never> => Promise.reject(new Error('nothing is asked'))

/** Does it `n` times, `width` at a time. */
async function inTurns(n: number, width: number, once: (i: number) => Promise<unknown>): Promise<void> {
  let next = 0
  const turn = async () => {
    while (next < n) await once(next++)
  }
  await Promise.all(Array.from({ length: width }, turn))
}

/** Opens a WebSocket that echoes some bytes. */
function webSocket(label: string, headers: Record<string, string>): Promise<void> {
  return new Promise((resolve, reject) => {
    const asked = request({
      host: '127.0.0.1',
      port: httpPort,
      agent: false,
      headers: {
        ...headers,
        Host: `${label}.localhost:${httpPort}`,
        Connection: 'Upgrade',
        Upgrade: 'websocket',
        'Sec-WebSocket-Version': '13',
        'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
      },
    })
    asked.on('error', reject)
    asked.on('response', ({ statusCode }: IncomingMessage) => reject(new Error(`${label}: ${statusCode}`)))
    asked.on('upgrade', (_, socket) => {
      socket.once('data', () => socket.destroy())
      socket.once('close', () => resolve())
      socket.on('error', () => {})
      socket.write('there and back')
    })
    asked.end()
  })
}

/** Opens a terminal, waits for its first output, and ends it. */
function terminal(port: number, token: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/api/terminal?vm=web`, {
      headers: { Authorization: `Bearer ${token}` },
    } as never)
    socket.binaryType = 'arraybuffer'
    let typed = false
    socket.onmessage = ({ data }) => {
      if (typeof data === 'string' && data.includes('problem')) reject(new Error(data))
      if (typeof data === 'string' || typed) return
      typed = true
      socket.send(Buffer.from('exit\n'))
    }
    socket.onclose = () => resolve()
    socket.onerror = () => reject(new Error('no terminal'))
  })
}

/** Signs in, and goes on to a VM: two sessions. */
async function signIn(croft: { ask(name: string): Promise<{ link: string }> }): Promise<void> {
  using browser = new Client()
  const { link } = await croft.ask('login')
  const origin = { Origin: `http://croft.localhost:${httpPort}`, 'Content-Type': 'application/x-www-form-urlencoded' }
  const { headers } = await browser.get('croft', '/login', origin, `code=${link.split('code=')[1]}`)
  const Cookie = headers['set-cookie']![0]!.split(';')[0]!
  const entered = await browser.get('croft', `/enter?host=web-8000.localhost:${httpPort}&to=/`, { Cookie })
  const { status } = await browser.get('web-8000', entered.headers.location!.replace(/^\/\/[^/]+/, ''))
  if (status !== 303) throw new Error(`a sign-in came to ${status}`)
}

/** Opens a connection to the gateway that sends nothing, or closes without waiting. */
function silence(waits: boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(sshPort, '127.0.0.1')
    socket.once(waits ? 'data' : 'connect', () => socket.destroy())
    socket.once('error', reject)
    socket.once('close', () => resolve())
  })
}
