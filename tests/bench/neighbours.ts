import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { Agent, get } from 'node:http'
import { setPriority } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { readMemory } from '../../daemon/adapters/kernel/load.ts'
import { TestCaddy } from '../lib/caddy.ts'
import { type Croft, cache, httpPort, program } from '../lib/croft.ts'
import { type Laptop, startReached } from '../lib/gateway.ts'
import { serveIn } from '../lib/guest-server.ts'
import { must } from '../lib/program.ts'
import { type Figure, median, timed } from './figures.ts'

const httpMs = 12_000
const keysMs = 6_000
const logins = 4
/** Time from the start of an attack to the measurement. */
const settleMs = 15_000
const diskGb = 6
/** What VMs may take of the box's memory before it is tight, small enough that one VM can make it so. */
const roomBytes = 4e9

const python = (script: string) => `python3 -c '${script}'`
const twice = (command: string) => `for i in 1 2; do ${command} & done; wait`
const flood = (address: string, port: number) =>
  twice(
    python(
      `import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\nwhile True:\n try: s.sendto(b"x", ("${address}", ${port}))\n except OSError: pass`,
    ),
  )
const fill = 'all = []\nwhile True: all.append(bytearray(1 << 20))'

/** Attacks on neighbours, as shell commands in a VM. */
const attacks: Record<string, (place: { box: string; neighbour: string }) => string> = {
  'both its CPUs': () => twice('yes > /dev/null'),
  'fills memory as fast as it can': () => `while :; do ${python(fill)}; done`,
  'fills memory and pins it': () =>
    `sudo ${python(`import ctypes\nctypes.CDLL(None).mlockall(3)\n${fill.replace('while True', 'while len(all) < 5500')}\nimport time\ntime.sleep(1000)`)}`,
  'its balloon’s driver is gone, and it fills memory': () =>
    `sudo sh -c "for d in /sys/bus/virtio/drivers/virtio_balloon/virtio*; do basename \\$d > /sys/bus/virtio/drivers/virtio_balloon/unbind; done"; while :; do ${python(fill)}; done`,
  'a fork bomb': () => 'bomb() { bomb | bomb & }; bomb; sleep 1000',
  'all of the disk’s time': () =>
    twice('while :; do dd if=/dev/zero of=big$i bs=1M count=300 oflag=direct status=none; done'),
  'a disk that it has filled': () => 'while :; do cat /dev/urandom > big; done',
  'floods the box': ({ box }) => flood(box, 53),
  'floods its neighbour': ({ neighbour }) => flood(neighbour, 8000),
}

interface Row {
  what: string
  http: number[]
  keys: number[]
  login: number[]
  /** What `top` and an event say about the attacker. */
  top?: string
  event?: string
}

/**
 * How long a neighbour takes to answer while another VM does its worst, compared with a quiet box in the same run.
 * `CROFT_BENCH_ATTACKS` selects attacks by a part of their names.
 */
export async function neighbourFigures(): Promise<Figure[]> {
  await using disk = await smallDisk()
  await using caddy = await TestCaddy.start()
  const { available } = await readMemory()
  const reserve = { memoryMiB: Math.floor((available - roomBytes) / 2 ** 20) }
  await using reached = await startReached({
    folder: join(disk.folder, 'state'),
    image: 'debian',
    config: { web: caddy.web, reserve },
  })
  const { croft, laptop } = reached
  for (const name of ['web', 'shop']) await croft.do('new', name)
  await serveIn(croft, 'web', 8000)
  await croft.do('share', 'public', 'web', '8000')
  await using events = await croft.events()
  // In reality the client is not on the box, so it must not wait for a CPU.
  setPriority(-15)
  const rows: Row[] = []
  const measure = async (what: string, more: () => Promise<Partial<Row>> = async () => ({})) => {
    const row = { what, http: await httpMsOf(), keys: await keyMsOf(laptop), login: await loginMsOf(laptop) }
    rows.push({ ...row, ...(await more()) })
    console.info(line(rows.at(-1)!, rows[0]!))
  }
  await measure('quiet')
  for (const [what, attack] of Object.entries(attacks)) {
    if (!what.includes(process.env.CROFT_BENCH_ATTACKS ?? '')) continue
    const place = await begin(croft, attack)
    await delay(settleMs)
    await measure(what, async () => {
      const { vms } = await croft.ask('top')
      const top = vms.find(({ name }: any) => name === 'hog').governor?.what
      const event = events.seen.findLast((each) => each.vm === place.id && each.message)?.message
      return { top, event }
    })
    await croft.do('rm', 'hog', '--yes')
    await delay(settleMs)
  }
  await measure('quiet again')
  const quiet = {
    http: [...rows[0]!.http, ...rows.at(-1)!.http],
    keys: [...rows[0]!.keys, ...rows.at(-1)!.keys],
    login: [...rows[0]!.login, ...rows.at(-1)!.login],
  }
  console.info(
    ['| a VM … | HTTP p99 | SSH key p99 | SSH login | `top` says | an event says |', '|---|---|---|---|---|---|']
      .concat(rows.map((row) => line(row, quiet)))
      .join('\n'),
  )
  return rows.flatMap(({ what, http, keys, login }): Figure[] => [
    { what: `${what}: HTTP of its neighbour, p99`, unit: 'ms', values: [p99(http)] },
    { what: `${what}: a key by SSH, p99`, unit: 'ms', values: [p99(keys)] },
    { what: `${what}: SSH login`, unit: 'ms', values: login },
  ])
}

/** Makes a new VM do its worst, in a session of its own. */
async function begin(croft: Croft, attack: (typeof attacks)[string]): Promise<{ id: string }> {
  await croft.do('new', 'hog', '--memory', '8G')
  const { id, ip } = await croft.ask('show', { vm: 'hog' })
  const { ip: neighbour } = await croft.ask('show', { vm: 'web' })
  const box = String(ip).replace(/\.\d+\.\d+$/, '.0.1')
  const script = attack({ box, neighbour })
  await croft.do(
    'exec',
    'hog',
    `cat > worst.sh <<'EOF'\n${script}\nEOF\ntmux new-session -d "ulimit -u 4000; bash worst.sh"`,
  )
  return { id }
}

const p99 = (values: readonly number[]) =>
  values.toSorted((a, b) => a - b)[Math.ceil(values.length * 0.99) - 1] ?? Number.NaN

function line({ what, http, keys, login, top, event }: Row, quiet: Pick<Row, 'http' | 'keys' | 'login'>): string {
  const cell = (value: number, of: number) => `${value.toFixed(0)} ms (${(value / of).toFixed(2)})`
  return `| ${[
    what,
    cell(p99(http), p99(quiet.http)),
    cell(p99(keys), p99(quiet.keys)),
    cell(median(login), median(quiet.login)),
    top ?? '',
    event ?? '',
  ].join(' | ')} |`
}

/** Sends one request after the other on a kept connection. */
async function httpMsOf(): Promise<number[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const times: number[] = []
  const end = performance.now() + httpMs
  while (performance.now() < end) {
    times.push(
      await timed(async () => {
        const request = get({ host: '127.0.0.1', port: httpPort, agent, headers: { host: 'web-8000.localhost' } })
        const [response] = await once(request, 'response')
        if (response.statusCode !== 200) throw new Error(`the neighbour answers ${response.statusCode}`)
        for await (const _ of response);
      }),
    )
    await delay(10)
  }
  agent.destroy()
  return times
}

/** Types characters one by one into one session, each when the one before has come back. */
async function keyMsOf(laptop: Laptop): Promise<number[]> {
  const session = spawn('ssh', [...laptop.settings, 'web@box', 'cat'], { stdio: ['pipe', 'pipe', 'inherit'] })
  const type = async () => {
    session.stdin.write('x')
    await once(session.stdout, 'data')
  }
  await type()
  const times: number[] = []
  const end = performance.now() + keysMs
  while (performance.now() < end) {
    times.push(await timed(type))
    await delay(50)
  }
  session.stdin.end()
  await once(session, 'exit')
  return times
}

async function loginMsOf(laptop: Laptop): Promise<number[]> {
  const times: number[] = []
  for (let i = 0; i < logins; i++)
    times.push(
      await timed(async () => {
        const { code, stderr } = await laptop.ssh(['web@box', 'true'])
        if (code !== 0) throw new Error(stderr)
      }),
    )
  return times
}

/** A file system of its own that can be filled. */
async function smallDisk(): Promise<AsyncDisposable & { folder: string }> {
  await must('mkdir', ['-p', '-m', '711', cache])
  const folder = await mkdtemp(join(cache, 'disk-'))
  const file = `${folder}.img`
  await writeFile(file, '')
  await truncate(file, diskGb * 1e9)
  await must('mkfs.ext4', ['-q', file])
  await must('mount', ['-o', 'loop,discard', file, folder])
  await must('mkdir', ['-m', '711', join(folder, 'state')])
  return {
    folder,
    async [Symbol.asyncDispose]() {
      await program('umount', ['-l', folder])
      await rm(folder, { recursive: true, force: true })
      await rm(file, { force: true })
    },
  }
}
