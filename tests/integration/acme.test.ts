import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { TestCa } from '../lib/ca.ts'
import { TestCaddy } from '../lib/caddy.ts'
import { type Croft, httpsPort, startCroft } from '../lib/croft.ts'
import { program } from '../lib/program.ts'

/** The box with certificates by ACME: from a second real Caddy as CA, for a real Caddy. Each test has a domain of its own. */
let ca: TestCa
let caddy: TestCaddy
let croft: Croft
beforeAll(async () => {
  ca = await TestCa.start(['croft.one.test', 'web.one.test', 'croft.two.test', 'croft.three.test', 'croft.four.test'])
  caddy = await TestCaddy.start()
  croft = await startCroft({ config: { web: caddy.web } })
  await croft.do('new', 'web')
})
afterAll(async () => {
  await croft?.[Symbol.asyncDispose]()
  await caddy?.[Symbol.asyncDispose]()
  await ca?.[Symbol.asyncDispose]()
})

const setDomain = (domain: string, root: string, ...more: string[]) =>
  croft.do('domain', 'set', domain, '--acme-directory', ca.directory, '--acme-root', root, ...more)

/** A page by HTTPS, of whoever has a certificate by the test's CA. */
const curl = (host: string) =>
  program('curl', [
    ...['-sS', '-i', '-m', '20', '--cacert', ca.root],
    ...['--resolve', `*:${httpsPort}:127.0.0.1`, `https://${host}:${httpsPort}/`],
  ])

/** What another client than curl makes of a host name: OpenSSL's own. */
async function sClient(host: string): Promise<string> {
  const { stdout, stderr } = await program('openssl', [
    ...['s_client', '-connect', `127.0.0.1:${httpsPort}`, '-servername', host, '-verify_hostname', host],
    ...['-alpn', 'h2', '-CAfile', ca.root],
  ])
  return stdout + stderr
}

/** All files that Caddy has of certificates. */
const certificates = async () =>
  (await readdir(join(caddy.folder, 'caddy/certificates'), { recursive: true })).filter((name) => name.endsWith('.crt'))

test('certificates come by ACME, for the box’s own address and for a VM’s, and no client objects', async () => {
  await setDomain('one.test', ca.root, '--email', 'me@example.com')
  for (const host of ['croft.one.test', 'web.one.test']) {
    expect((await curl(host)).stdout).toMatch(/^HTTP\/2 \d/)
    const said = await sClient(host)
    expect(said).toContain('Verify return code: 0 (ok)')
    expect(said).toContain('ALPN protocol: h2')
    expect(said).toMatch(/issuer=CN = Test - ECC Intermediate/)
  }
  const accounts = await readdir(join(caddy.folder, 'caddy/acme'), { recursive: true })
  expect(accounts.some((name) => name.endsWith('users/me@example.com'))).toBe(true)
  expect(await croft.do('domain', 'ls')).toContain('certificates by ACME')
})

test('a CA that is not known by the root that was given gives none, and domain check says so; with its own root it does', async () => {
  await setDomain('two.test', join(import.meta.dirname, '../../daemon/caddy/fixtures/root.pem'))
  const orders = ca.orders
  expect((await curl('croft.two.test')).code).toBe(35)
  const { stdout } = await croft.run(['domain', 'check'])
  expect(stdout).toMatch(/✗ CA at localhost:\d+ +is not known by the root certificate that was given/)
  expect(stdout).toMatch(/✗ certificate of croft\.two\.test +is not to be had/)
  expect(ca.orders).toBe(orders)

  await setDomain('two.test', ca.root)
  expect((await curl('croft.two.test')).stdout).toMatch(/^HTTP\/2 401/)
  expect((await croft.run(['domain', 'check'])).stdout).toMatch(/✓ CA at localhost:\d+ +answers/)
})

test('of root certificates only the one that is used is kept', async () => {
  await setDomain('four.test', join(import.meta.dirname, '../../daemon/caddy/fixtures/root.pem'))
  await setDomain('four.test', ca.root)
  const kept = async () => (await readdir(croft.folder)).filter((name) => name.startsWith('acme-root'))
  await expect.poll(kept, { timeout: 10_000 }).toHaveLength(1)
  const [name] = await kept()
  expect(await readFile(join(croft.folder, name!), 'utf8')).toBe(await readFile(ca.root, 'utf8'))
})

/** Begins TLS with a host name. @returns whether there was a certificate */
const handshake = (servername: string) =>
  new Promise<boolean>((resolve) => {
    const socket = connect({ host: '127.0.0.1', port: httpsPort, servername, rejectUnauthorized: false })
    const done = (had: boolean) => {
      socket.destroy()
      resolve(had)
    }
    socket.once('secureConnect', () => done(true))
    socket.once('error', () => done(false))
  })

/** Handshakes with many names, 50 at a time. @returns those that there was a certificate for */
async function flood(names: Iterable<string>): Promise<string[]> {
  const left = names[Symbol.iterator]()
  const had: string[] = []
  const work = async () => {
    for (const name of { [Symbol.iterator]: () => left }) if (await handshake(name)) had.push(name)
  }
  await Promise.all(Array.from({ length: 50 }, work))
  return had
}

/** CPU time in ms and memory in bytes of the daemon (proc(5): in ticks of 10 ms, and in pages). */
async function costOf(pid: number): Promise<{ cpuMs: number; bytes: number }> {
  const stat = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')[1]!.split(' ')
  return { cpuMs: (Number(stat[11]) + Number(stat[12])) * 10, bytes: Number(stat[21]) * 4096 }
}

test('a flood of names that nobody allowed orders nothing, and costs the daemon a lookup each', async () => {
  await setDomain('three.test', ca.root)
  expect((await curl('croft.three.test')).code).toBe(0)
  const unknown = (round: number, many: number) =>
    Array.from({ length: many }, (_, i) => {
      const n = round * 10_000 + i
      return [`n${n}.three.test`, `web-${n + 10_000}.three.test`, `n${n}-80.three.test`, `${n}.evil.example`][i % 4]!
    })
  await flood(unknown(0, 500))
  const before = { files: await certificates(), orders: ca.orders, ...(await costOf(croft.pid)) }
  const t = Date.now()
  expect(await flood(unknown(1, 2000))).toEqual([])
  const ms = Date.now() - t
  const after = await costOf(croft.pid)
  console.log({
    ms,
    cpu: (after.cpuMs - before.cpuMs) / 2000,
    grown: (after.bytes - before.bytes) / 1e6,
    rss: after.bytes / 1e6,
  })
  for (let i = 2; i < 5; i++) {
    await flood(unknown(i, 2000))
    console.log(await costOf(croft.pid))
  }
  console.log((await program('ss', ['-tan', 'state', 'time-wait', `dport = :${croft.port}`])).stdout.split('\n').length)
  expect(await certificates()).toEqual(before.files)
  expect(ca.orders).toBe(before.orders)
})
