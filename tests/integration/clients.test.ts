import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { connect } from 'node:tls'
import { promisify } from 'node:util'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { Browsers } from '../lib/browser.ts'
import { TestCaddy } from '../lib/caddy.ts'
import { type Croft, httpPort, httpsPort, startCroft } from '../lib/croft.ts'
import { deep } from '../lib/deep.ts'
import { servePython } from '../lib/guest-server.ts'
import { must, program } from '../lib/program.ts'

/** The programs that people use, by HTTPS under a name of the box's own, with Caddy's own CA. */
let caddy: TestCaddy
let croft: Croft
let folder: string
/** The CA's root certificate, for clients that are to trust it. */
let root: string
beforeAll(async () => {
  caddy = await TestCaddy.start()
  folder = await mkdtemp(join(tmpdir(), 'croft-clients-'))
  croft = await startCroft({ image: 'bare', config: { web: caddy.web } })
  await croft.do('domain', 'set', 'box.test', '--tls', 'internal')
  root = join(caddy.folder, 'caddy/pki/authorities/local/root.crt')
  await croft.do('new', 'web')
  await servePython(croft, 'web', fileServer, 8000)
}, 600_000)
afterAll(async () => {
  await croft?.[Symbol.asyncDispose]()
  await caddy?.[Symbol.asyncDispose]()
  await rm(folder, { recursive: true, force: true })
})

/** Takes files and returns them, whole or in part, sends events, and echoes short WebSocket texts. */
const fileServer = `
import base64, hashlib, os, re, shutil, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
os.makedirs("files", exist_ok=True); os.chdir("files")
class Files(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_PUT(self):
        with open(os.path.basename(self.path), "wb") as file:
            left = int(self.headers["Content-Length"])
            while left: left -= file.write(self.rfile.read(min(left, 2**20)))
        self.say(b"taken")
    def do_GET(self):
        if self.path == "/": return self.say(b"<title>web</title><h1>hello from web</h1>", "text/html")
        if self.path == "/events": return self.events()
        if self.path == "/socket": return self.socket()
        path = self.path.split("?")[0].lstrip("/")
        if not os.path.isfile(path): return self.send_error(404)
        size = os.path.getsize(path)
        part = re.match(r"bytes=(\\d+)-(\\d+)$", self.headers.get("Range", ""))
        first, last = map(int, part.groups()) if part else (0, size - 1)
        self.send_response(206 if part else 200)
        self.send_header("Content-Length", str(last - first + 1))
        if part: self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.end_headers()
        with open(path, "rb") as file:
            file.seek(first)
            if part: self.wfile.write(file.read(last - first + 1))
            else: shutil.copyfileobj(file, self.wfile, 2**20)
    def say(self, body, kind="text/plain"):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def events(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        while True:
            self.wfile.write(b"data: tick\\n\\n"); self.wfile.flush(); time.sleep(0.1)
    def socket(self):
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        self.end_headers()
        self.close_connection = True
        while len(head := self.rfile.read(6)) == 6: # RFC 6455, section 5.2
            data = bytes(byte ^ head[2 + i % 4] for i, byte in enumerate(self.rfile.read(head[1] & 127)))
            self.wfile.write(bytes([head[0], len(data)]) + data)
    def log_message(self, *args): pass
ThreadingHTTPServer(("0.0.0.0", 8000), Files).serve_forever()
`

const at = (label: string, path = '/') => `https://${label}.box.test:${httpsPort}${path}`
const curl = (url: string, ...args: string[]) =>
  must('curl', ['-sS', '--cacert', root, '--resolve', `*:${httpsPort}:127.0.0.1`, ...args, url], {
    timeoutMs: deep ? 500_000 : 120_000,
  })
const newToken = async () => (await croft.do('token', 'new', '--vm', 'web', '--commands', 'web')).split('\n')[0]!

describe('Chromium', () => {
  const browsers = new Browsers()
  afterAll(() => browsers[Symbol.asyncDispose]())

  /**
   * Opens an event stream on a page of the VM. Resolves at the first event; `ended` on the page resolves when the
   * stream ends.
   */
  const listen = (page: Page) =>
    page.evaluate(
      () =>
        new Promise<void>((resolve) => {
          const source = new EventSource('/events')
          Object.assign(globalThis, {
            ended: new Promise<void>((end) => source.addEventListener('error', () => end())),
          })
          source.addEventListener('message', () => resolve())
        }),
    )
  const ended = (page: Page) => page.evaluate(() => (globalThis as unknown as { ended: Promise<void> }).ended)

  // Retried: Chromium aborts what a click has started when another test creates a bridge, and a link works once.
  const again = { retry: 1 }
  test(
    'signs in by the link of croft login, is taken where it wanted to go, and is signed out everywhere',
    again,
    async () => {
      const page = await (await browsers.open()).newPage()
      await page.goto(at('web'))
      expect(await page.textContent('main')).toContain('croft login')
      await page.goto((await croft.do('login')).split('\n')[0]!)
      await page.click('button')
      expect(await page.textContent('h1')).toBe('The box')
      await page.goto(at('web'))
      expect(page.url()).toBe(at('web'))
      expect(await page.textContent('h1')).toBe('hello from web')
      expect(await page.evaluate('document.cookie')).toBe('')
      expect((await page.context().cookies()).map(({ name, domain }) => [name, domain])).toEqual([
        ['__Host-croft_session', 'croft.box.test'],
        ['__Host-croft_session', 'web.box.test'],
      ])
      await page.goto(`${at('croft')}settings/sign-ins`)
      await page.click('text=Sign out everywhere')
      expect(await page.textContent('h1')).toBe('Signed out')
      await page.goto(at('web'))
      expect(await page.textContent('h1')).toBe('Your access has ended')
    },
  )

  test('of a guest opens what its link is for and nothing else, until that is taken back', async () => {
    const [link, revoke] = (await croft.do('share', 'link', 'web', '--name', 'Ann')).trim().split('\n')
    const page = await (await browsers.open()).newPage()
    await page.goto(link!)
    expect(page.url()).toBe(at('web'))
    expect(await page.textContent('h1')).toBe('hello from web')
    await listen(page)
    const other = await page.context().newPage()
    await other.goto(at('web-8000'))
    expect(await other.textContent('h1')).toBe('Sign in')
    const revoked = croft.do('share', 'revoke', revoke!.split(' ').at(-1)!).then(() => performance.now())
    await ended(page)
    expect(performance.now() - (await revoked)).toBeLessThan(1_000)
    await page.reload()
    expect(await page.textContent('main')).toContain('has expired or was revoked: ask for another')
  })

  test('has a WebSocket that goes both ways, until the link is taken back', async () => {
    const [link, revoke] = (await croft.do('share', 'link', 'web')).trim().split('\n')
    const page = await (await browsers.open()).newPage()
    await page.goto(link!)
    const said = await page.evaluate(async () => {
      const socket = new WebSocket('/socket')
      const once = (type: string) =>
        new Promise<Event>((resolve) => socket.addEventListener(type, resolve, { once: true }))
      await once('open')
      const said: string[] = []
      for (const words of ['first', 'second']) {
        socket.send(words)
        said.push(((await once('message')) as MessageEvent).data)
      }
      Object.assign(globalThis, { ended: once('close') })
      return said
    })
    expect(said).toEqual(['first', 'second'])
    const revoked = croft.do('share', 'revoke', revoke!.split(' ').at(-1)!).then(() => performance.now())
    await ended(page)
    expect(performance.now() - (await revoked)).toBeLessThan(1_000)
  })

  describe('by HTTP/3', () => {
    const label = 'web-8000'

    /**
     * Opens a page as a visitor with a link, and counts the events that it receives. @returns a function that revokes
     * the link
     */
    async function listenByHttp3(): Promise<{ page: Page; revoke: () => Promise<unknown> }> {
      const [link, revoke] = (await croft.do('share', 'link', 'web', '--port', '8000')).trim().split('\n')
      await curl(at(label), '-o', '/dev/null') // now there is a certificate
      const context = await browsers.open([
        '--enable-quic',
        `--origin-to-force-quic-on=${label}.box.test:${httpsPort}`,
        `--ignore-certificate-errors-spki-list=${await keyDigest(`${label}.box.test`)}`,
      ])
      const page = await context.newPage()
      await page.goto(link!)
      expect(await page.textContent('h1')).toBe('hello from web')
      expect(await page.evaluate("performance.getEntriesByType('navigation')[0].nextHopProtocol")).toBe('h3')
      await page.evaluate(() => {
        const heard = { count: 0 }
        Object.assign(globalThis, { heard })
        new EventSource('/events').addEventListener('message', () => heard.count++)
      })
      await hearsMore(page)
      return { page, revoke: () => croft.do('share', 'revoke', revoke!.split(' ').at(-1)!) }
    }

    const heard = (page: Page) =>
      page.evaluate(() => (globalThis as unknown as { heard: { count: number } }).heard.count)
    async function hearsMore(page: Page): Promise<void> {
      const before = await heard(page)
      await vi.waitFor(async () => expect(await heard(page)).toBeGreaterThan(before + 2), { timeout: 5_000 })
    }
    /** From a second from now on, for longer than a retransmission takes. */
    async function hearsNoMore(page: Page): Promise<void> {
      await delay(1_000)
      const before = await heard(page)
      await delay(2_000)
      expect(await heard(page)).toBe(before)
    }

    test('comes too, and what it has open by that ends as well', async () => {
      const { page, revoke } = await listenByHttp3()
      await revoke()
      await hearsNoMore(page)
    })

    test('what it had open before a restart of the daemon ends, too', async () => {
      const { page, revoke } = await listenByHttp3()
      await croft.kill('SIGKILL')
      await croft.start()
      await hearsMore(page)
      await revoke()
      await hearsNoMore(page)
    })
  })
})

/** Returns the digest of the public key of a server's certificate, in Chromium's format. */
async function keyDigest(servername: string): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port: httpsPort, servername, rejectUnauthorized: false })
  await once(socket, 'secureConnect')
  const key = socket.getPeerX509Certificate()!.publicKey.export({ type: 'spki', format: 'der' })
  socket.destroy()
  return createHash('sha256').update(key).digest('base64')
}

test('curl comes by HTTP/1.1 and HTTP/2, whatever the VM’s server speaks', async () => {
  const token = await newToken()
  for (const [flag, version] of [
    ['--http1.1', '1.1'],
    ['--http2', '2'],
  ] as const)
    expect(
      await curl(at('web'), flag, '-u', `me:${token}`, '-o', '/dev/null', '-w', '%{http_code} %{http_version}'),
    ).toBe(`200 ${version}`)
})

test('OpenSSL finds a certificate for the name, from the CA that it is told, and talks by hand', async () => {
  const args = [
    's_client',
    '-connect',
    `127.0.0.1:${httpsPort}`,
    '-servername',
    'web.box.test',
    '-verify_hostname',
    'web.box.test',
    '-verify_return_error',
    '-CAfile',
    root,
  ]
  const request = `GET / HTTP/1.1\r\nHost: web.box.test:${httpsPort}\r\nAuthorization: Bearer ${await newToken()}\r\nConnection: close\r\n\r\n`
  const { stdout } = await program('openssl', [...args, '-alpn', 'http/1.1', '-ign_eof'], { input: request })
  expect(stdout).toContain('Verify return code: 0 (ok)')
  expect(stdout).toContain('ALPN protocol: http/1.1')
  expect(stdout).toContain('hello from web')
  expect((await program('openssl', [...args, '-alpn', 'h2'], { input: '' })).stdout).toContain('ALPN protocol: h2')
})

test('a port on which nothing listens has a page by HTTPS, too, and strangers get certificates for 20 of them at most', async () => {
  const said = await curl(at('web-9999'), '-u', `me:${await newToken()}`)
  expect(said).toBe('Not available right now.\n')
  const greeted = async (port: number) => {
    const args = ['-connect', `127.0.0.1:${httpsPort}`, '-servername', `web-${port}.box.test`]
    return (await program('openssl', ['s_client', ...args], { input: '' })).stdout.includes('BEGIN CERTIFICATE')
  }
  let certificates = 1
  for (let port = 20_000; port < 20_030; port++) if (await greeted(port)) certificates++
  expect(certificates).toBe(20)
  // Ports that something listens on have a limit of their own.
  expect(await greeted(8000)).toBe(true)
})

test('git clones over HTTPS from a server in a VM, with a token as its password', async () => {
  const git = (...args: string[]) =>
    program(
      'git',
      ['-c', `http.sslCAInfo=${root}`, '-c', `http.curloptResolve=web.box.test:${httpsPort}:127.0.0.1`, ...args],
      {
        env: { PATH: process.env.PATH, HOME: folder, GIT_TERMINAL_PROMPT: '0' },
      },
    )
  const work = join(folder, 'work')
  await git('init', '-q', work)
  await git(
    '-C',
    work,
    '-c',
    'user.name=Ann',
    '-c',
    'user.email=ann@example.com',
    'commit',
    '-q',
    '--allow-empty',
    '-m',
    'from the VM',
  )
  await git('clone', '-q', '--bare', work, join(folder, 'repo.git'))
  await git('-C', join(folder, 'repo.git'), 'update-server-info')
  const tar = promisify(execFile)('tar', ['-cz', '-C', folder, 'repo.git'], { encoding: 'buffer' })
  await croft.run(['exec', 'web', 'tar xz -C files'], { input: (await tar).stdout })
  const url = (password: string) => at('web', '/repo.git').replace('//', `//git:${password}@`)
  expect((await git('clone', '-q', url(await newToken()), join(folder, 'clone'))).stderr).toBe('')
  expect((await git('-C', join(folder, 'clone'), 'log', '--format=%s')).stdout).toBe('from the VM\n')
  expect(await git('clone', '-q', url('wrong'), join(folder, 'none'))).toMatchObject({
    code: 128,
    stderr: expect.stringMatching(/Authentication failed/),
  })
  expect(await git('clone', '-q', at('web', '/repo.git'), join(folder, 'none'))).toMatchObject({
    code: 128,
    stderr: expect.stringMatching(/could not read Username/),
  })
})

test('a large file goes up and comes down as it was, and in parts', async () => {
  const bytes = (deep ? 1024 : 128) * 2 ** 20
  const file = join(folder, 'large')
  // Data that does not compress.
  await must('sh', [
    '-c',
    `openssl enc -aes-128-ctr -nosalt -pass pass:x -pbkdf2 < /dev/zero 2> /dev/null | head -c ${bytes} > ${file}`,
  ])
  const sum = async (path: string) => (await must('sha256sum', [path])).split(' ')[0]
  const user = ['-u', `me:${await newToken()}`]
  const began = performance.now()
  expect(await curl(at('web', '/large'), ...user, '-T', file)).toBe('taken')
  const up = performance.now()
  await curl(at('web', '/large'), ...user, '-o', `${file}.back`)
  const down = performance.now()
  const rate = (ms: number) => `${(bytes / 1e6 / (ms / 1000)).toFixed(0)} MB/s`
  console.info(`${bytes / 2 ** 20} MB: up ${rate(up - began)}, down ${rate(down - up)}`)
  expect((await stat(`${file}.back`)).size).toBe(bytes)
  expect(await sum(`${file}.back`)).toBe(await sum(file))
  await curl(at('web', '/large'), ...user, '-r', '1000000-1999999', '-o', `${file}.part`)
  expect(await sum(`${file}.part`)).toBe(
    (await must('sh', ['-c', `tail -c +1000001 ${file} | head -c 1000000 | sha256sum`])).split(' ')[0],
  )
}, 1_200_000)

test('HTTP is led to HTTPS', async () => {
  const to = await must('curl', [
    '-sS',
    '--resolve',
    `*:${httpPort}:127.0.0.1`,
    '-o',
    '/dev/null',
    '-w',
    '%{redirect_url}',
    `http://web.box.test:${httpPort}/x?y`,
  ])
  expect(to).toBe(at('web', '/x?y'))
})
