import { TestCaddy } from '../lib/caddy.ts'
import { Client, enter } from '../lib/client.ts'
import { type Croft, httpPort, startCroft } from '../lib/croft.ts'
import { residentMb } from '../lib/process.ts'
import { must } from '../lib/program.ts'
import { type Figure, timed } from './figures.ts'
import { allDefined, fill } from './thousand.ts'

const rounds = 9
const seconds = 3
const [plainPort, vmPort] = [17_400, 9000]
const many = 5_000

/** Requests through the gate compared with a plain `reverse_proxy` of Caddy to the same server. */
export const webFigures = (): Promise<Figure[]> => withServer(besidePlain)

/** The time to make a port reachable, to reach it and to be refused, with 1 VM and with 5,000. */
export const reachFigures = (): Promise<Figure[]> => withServer(withMany)

/**
 * With a server in an emulated guest, this would measure the guest instead of the gate. So the VM's address is given to
 * this machine, and another Caddy answers there.
 */
async function withServer(measure: (croft: Croft) => Promise<Figure[]>): Promise<Figure[]> {
  process.env.TMPDIR = '/dev/shm' // in memory, as /run of a box is
  await using caddy = await TestCaddy.start()
  await using croft = await startCroft({ config: { web: caddy.web } })
  await croft.do('new', 'web')
  await using upstream = await TestCaddy.start()
  await using plain = await TestCaddy.start()
  delete process.env.TMPDIR
  const { ip } = Object.values((await croft.state()).vms)[0]!
  const address = `${ip}:${vmPort}`
  await must('ip', ['address', 'add', `${ip}/32`, 'dev', 'lo'])
  try {
    await load(upstream, `${address}`, { handler: 'static_response', body: 'hello from something like a VM\n' })
    await load(plain, `127.0.0.1:${plainPort}`, { handler: 'reverse_proxy', upstreams: [{ dial: address }] })
    return await measure(croft)
  } finally {
    await must('ip', ['address', 'delete', `${ip}/32`, 'dev', 'lo'])
  }
}

function load(caddy: TestCaddy, listen: string, handler: object): Promise<void> {
  const servers = { only: { listen: [listen], automatic_https: { disable: true }, routes: [{ handle: [handler] }] } }
  return caddy.api.load({ ...caddy.nothing, apps: { http: { servers } } } as never)
}

async function besidePlain(croft: Croft): Promise<Figure[]> {
  const session = await enter(croft, `web-${vmPort}`)
  const token = (await croft.do('token', 'new', '--vm', 'web', '--commands', 'web')).split('\n')[0]!
  const isPublic = (yes: boolean) => croft.do('share', yes ? 'public' : 'private', 'web', `${vmPort}`)
  const ways: { what: string; before?: () => Promise<unknown>; headers: Record<string, string>; least?: number }[] = [
    { what: 'plain', headers: {} },
    { what: 'private, with a session', before: () => isPublic(false), headers: session, least: 80 },
    { what: 'public', before: () => isPublic(true), headers: {}, least: 90 },
    { what: 'by a token: the gate is asked about each', headers: { Authorization: `Bearer ${token}` } },
  ]
  const measured = ways.map(() => ({ rate: [] as number[], p50: [] as number[], p99: [] as number[] }))
  // One more round, which is not counted.
  for (let round = -1; round < rounds; round++)
    for (const [i, { what, before, headers }] of ways.entries()) {
      await before?.()
      const found = await wrk(what === 'plain' ? plainPort : httpPort, headers)
      if (round < 0) continue
      for (const key of ['rate', 'p50', 'p99'] as const) measured[i]![key].push(found[key])
    }
  const ofPlain = (i: number) => measured[i]!.rate.map((rate, round) => (rate / measured[0]!.rate[round]!) * 100)
  return ways.flatMap(({ what, least }, i): Figure[] => [
    { what: `requests, ${what}`, unit: '/s', values: measured[i]!.rate },
    ...(i > 0
      ? [{ what: '… of plain, round by round', unit: '%', values: ofPlain(i), ...(least && { least }) } as const]
      : []),
    { what: '… half of them within', unit: 'ms', values: measured[i]!.p50 },
    { what: '… 99 of 100 within', unit: 'ms', values: measured[i]!.p99 },
  ])
}

async function wrk(port: number, headers: Record<string, string>): Promise<{ rate: number; p50: number; p99: number }> {
  const all = { Host: `web-${vmPort}.localhost:${httpPort}`, ...headers }
  const args = Object.entries(all).flatMap(([name, value]) => ['-H', `${name}: ${value}`])
  const said = await must('wrk', [
    '-t',
    '1',
    '-c',
    '16',
    '-d',
    `${seconds}`,
    '--latency',
    ...args,
    `http://127.0.0.1:${port}/`,
  ])
  if (said.includes('Non-2xx')) throw new Error(said)
  const duration = (percent: string) => {
    const [, number, unit] = new RegExp(`${percent}%\\s+([\\d.]+)(us|ms|s)`).exec(said)!
    return Number(number) * { us: 0.001, ms: 1, s: 1000 }[unit as 'us' | 'ms' | 's']
  }
  return { rate: Number(/Requests\/sec:\s+([\d.]+)/.exec(said)![1]), p50: duration('50'), p99: duration('99') }
}

async function withMany(croft: Croft): Promise<Figure[]> {
  const few = await reaching(croft, 'with 1 VM')
  await croft.kill('SIGTERM')
  await fill(croft, many - 1)
  await croft.start()
  await allDefined(croft)
  return [...few, ...(await reaching(croft, `with ${many} VMs`))]
}

/** Sends each request on a new connection, so that only the gate decides about it. */
async function reaching(croft: Croft, among: string): Promise<Figure[]> {
  const [share, first, lookup]: [number[], number[], number[]] = [[], [], []]
  const ask = async (label: string, status: number) => {
    using client = new Client()
    const { status: got } = await client.get(label)
    if (got !== status) throw new Error(`${label}: ${got}`)
  }
  const label = `web-${vmPort}`
  for (let i = 0; i < 30; i++) {
    share.push(await timed(() => croft.ask('share-public', { vm: 'web', port: vmPort })))
    first.push(await timed(() => ask(label, 200)))
    await croft.ask('share-private', { vm: 'web', port: vmPort })
    for (let j = 0; j < 10; j++) lookup.push(await timed(() => ask(label, 401)))
  }
  return [
    { what: `a port made public, ${among}`, unit: 'ms', values: share },
    { what: '… its first request', unit: 'ms', values: first },
    { what: '… a request that the gate refuses', unit: 'ms', values: lookup },
    { what: '… the daemon, resident', unit: 'MB', values: [await residentMb(croft.pid)] },
  ]
}
