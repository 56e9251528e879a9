import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { connect, createSecureContext } from 'node:tls'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { TestCa } from '../lib/ca.ts'
import { TestCaddy } from '../lib/caddy.ts'
import { type Croft, httpsPort, startCroft } from '../lib/croft.ts'
import { cpuMs, family, residentMb } from '../lib/process.ts'
import { program } from '../lib/program.ts'

/**
 * The box with certificates by ACME: from a second real Caddy as CA, for a real Caddy. Each test has a domain of its
 * own.
 */
let ca: TestCa
let caddy: TestCaddy
let croft: Croft
beforeAll(async () => {
  ca = await TestCa.start(['croft.one.test', 'web.one.test', 'croft.two.test', 'croft.three.test'])
  caddy = await TestCaddy.start()
  croft = await startCroft({ image: 'bare', config: { web: caddy.web } })
  await croft.do('new', 'web')
})
afterAll(async () => {
  await croft?.[Symbol.asyncDispose]()
  await caddy?.[Symbol.asyncDispose]()
  await ca?.[Symbol.asyncDispose]()
})

const wrongRoot = join(import.meta.dirname, '../../daemon/adapters/caddy/fixtures/root.pem')
const setDomain = (domain: string, root: string, ...more: string[]) =>
  croft.do('domain', 'set', domain, '--acme-directory', ca.directory, '--acme-root', root, ...more)

/** Gets a page by HTTPS from a server with a certificate by the test's CA. */
const curl = (host: string, seconds = 20) =>
  program('curl', [
    ...['-sS', '-i', '-m', String(seconds), '--cacert', ca.root],
    ...['--resolve', `*:${httpsPort}:127.0.0.1`, `https://${host}:${httpsPort}/`],
  ])

/** Connects to a host name with another client than curl: OpenSSL's own. */
async function sClient(host: string): Promise<string> {
  const { stdout, stderr } = await program('openssl', [
    ...['s_client', '-connect', `127.0.0.1:${httpsPort}`, '-servername', host, '-verify_hostname', host],
    ...['-alpn', 'h2', '-CAfile', ca.root],
  ])
  return stdout + stderr
}

/** Lists all of Caddy's certificate files; their folder does not exist before the first. */
const certificates = async () => {
  const all = await readdir(join(caddy.folder, 'caddy/certificates'), { recursive: true }).catch(() => [])
  return all.filter((name) => name.endsWith('.crt'))
}

test('certificates come by ACME, for the box’s own address and for a VM’s, and no client objects', async () => {
  const { orders } = ca
  await setDomain('one.test', ca.root, '--email', 'me@example.com')
  for (const host of ['croft.one.test', 'web.one.test']) {
    expect((await curl(host)).stdout).toMatch(/^HTTP\/2 \d/)
    const said = await sClient(host)
    expect(said).toContain('Verify return code: 0 (ok)')
    expect(said).toContain('ALPN protocol: h2')
    expect(said).toMatch(/issuer=CN ?= ?Test - ECC Intermediate/)
  }
  expect(ca.orders - orders).toBeGreaterThanOrEqual(2)
  const accounts = await readdir(join(caddy.folder, 'caddy/acme'), { recursive: true })
  expect(accounts.some((name) => name.endsWith('users/me@example.com'))).toBe(true)
  expect(await croft.do('domain', 'ls')).toContain('certificates by ACME')
})

test('with the root of another CA there are none, and domain check says why; with the right one they come', async () => {
  await setDomain('two.test', wrongRoot)
  const { orders } = ca
  expect((await curl('web.two.test', 2)).code).not.toBe(0)
  const checked = await croft.run(['domain', 'check'])
  expect(checked.code).toBe(1)
  expect(checked.stdout).toMatch(/✗ CA at localhost:\d+ +is not certified by the root certificate that was given/)
  expect(ca.orders).toBe(orders)
  expect((await certificates()).filter((name) => name.includes('two.test'))).toEqual([])

  await setDomain('two.test', ca.root)
  expect((await curl('croft.two.test')).stdout).toMatch(/^HTTP\/2 401/)
  const { stdout } = await croft.run(['domain', 'check'])
  expect(stdout).toMatch(/✓ CA at localhost:\d+ +answers/)
  expect(stdout).toMatch(/certificate of croft\.two\.test +issued by Test - ECC Intermediate/)
})

test('of root certificates only the one that is used is kept, for Caddy’s own user to read', async () => {
  await setDomain('four.test', wrongRoot)
  await setDomain('four.test', ca.root)
  const kept = async () => (await readdir(croft.folder)).filter((name) => name.startsWith('acme-root'))
  await expect.poll(kept, { timeout: 10_000 }).toHaveLength(1)
  const path = join(croft.folder, (await kept())[0]!)
  expect(await readFile(path, 'utf8')).toBe(await readFile(ca.root, 'utf8'))
  expect((await stat(path)).mode & 0o777).toBe(0o644)
})

/** Made once: making it takes longer than a handshake. */
const secureContext = createSecureContext()

/** Starts TLS with a host name. @returns `certificate` when there was one, otherwise the error */
const handshake = (servername: string) =>
  new Promise<string>((resolve) => {
    const socket = connect({ host: '127.0.0.1', port: httpsPort, servername, secureContext, rejectUnauthorized: false })
    socket.once('secureConnect', () => {
      socket.destroy()
      resolve('certificate')
    })
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
  })

/** Handshakes with many names, 50 at a time. @returns their results */
async function flood(names: readonly string[]): Promise<Set<string>> {
  const left = names.values()
  const came = new Set<string>()
  const work = async () => {
    for (const name of left) came.add(await handshake(name))
  }
  await Promise.all(Array.from({ length: 50 }, work))
  return came
}

/** The CPU time of the daemon and its children in ms, and the daemon's memory in MiB. */
const costOf = async (pid: number) => ({ cpuMs: await cpuMs(await family(pid)), memory: await residentMb(pid) })

/**
 * Host names that are not allowed: of VMs that don't exist, of ports of an awake VM that nothing listens on, of others.
 */
const unknownNames = (domain: string, from: number, many: number) =>
  Array.from({ length: many }, (_, i) => {
    const n = 10_000 + from + i
    return [`n${n}.${domain}`, `web-${n}.${domain}`, `n${n}-80.${domain}`, `${n}.evil.example`][i % 4]!
  })

/** Roughly the number of processes that the VM has started: the last process id. */
const processesIn = async (vm: string) =>
  Number((await croft.do('exec', vm, '--', 'cut', '-d ', '-f5', '/proc/loadavg')).trim())

test('a flood of names that are not allowed orders nothing, and costs the daemon a lookup each', async () => {
  await setDomain('three.test', ca.root)
  expect((await curl('croft.three.test')).code).toBe(0)
  const refused = new Set(['ERR_SSL_TLSV1_ALERT_INTERNAL_ERROR'])
  expect(await flood(unknownNames('three.test', 0, 200))).toEqual(refused)
  const seen = async () => ({ files: await certificates(), orders: ca.orders })
  const [before, processes, cost] = [await seen(), await processesIn('web'), await costOf(croft.pid)]
  expect(await flood(unknownNames('three.test', 200, 2000))).toEqual(refused)
  const costAfter = await costOf(croft.pid)
  expect((costAfter.cpuMs - cost.cpuMs) / 2000).toBeLessThan(3)
  expect(costAfter.memory - cost.memory).toBeLessThan(96)
  // 500 of the names are of ports of that VM, which is asked now and then what it listens on, not for each name.
  expect((await processesIn('web')) - processes).toBeLessThan(250)
  expect(await seen()).toEqual(before)
  expect(await handshake('croft.three.test')).toBe('certificate')
})
