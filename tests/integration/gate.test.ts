import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { get } from 'node:http'
import { type AddressInfo, connect, createServer } from 'node:net'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { TestCaddy } from '../lib/caddy.ts'
import { type Croft, httpPort, names, startCroft } from '../lib/croft.ts'
import { listens, servePython } from '../lib/guest-server.ts'
import { program } from '../lib/program.ts'

/** The web addresses of VMs: a real Caddy, a real web server in a real guest, and curl. */
let caddy: TestCaddy
let croft: Croft
beforeAll(async () => {
  caddy = await TestCaddy.start()
  croft = await startCroft({ image: 'bare', config: { web: caddy.web } })
  await croft.do('new', 'web')
  await servePython(croft, 'web', echoServer, 9000)
  const site = `mkdir site; echo 'hello from web' > site/index.html; tmux new-session -d "cd site && python3 -m http.server 8000"`
  await croft.do('exec', 'web', site)
  await listens(croft, 'web', 8000)
}, 600_000)
afterAll(async () => {
  await croft?.[Symbol.asyncDispose]()
  await caddy?.[Symbol.asyncDispose]()
})

/** Returns the request as JSON: method, path, headers as they came, and the body's length and digest. */
const echoServer = `
import base64, hashlib, json, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.headers.get("Upgrade") == "websocket": return self.socket()
        if self.path == "/events": return self.events()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        said = {"method": self.command, "path": self.path, "headers": self.headers.items(), "length": len(body), "sha256": hashlib.sha256(body).hexdigest()}
        out = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(out)))
        self.send_header("Set-Cookie", "app=1; Path=/")
        self.end_headers()
        self.wfile.write(out)
    def do_POST(self): self.do_GET()
    def do_PUT(self): self.do_GET()
    def events(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"data: first\\n\\n")
        self.wfile.flush()
        time.sleep(600)
    def socket(self):
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        self.end_headers()
        while True: # raw bytes back: what is in the frames is the client's and the server's own business
            some = self.connection.recv(65536)
            if not some: break
            self.connection.sendall(some)
        self.close_connection = True
    def log_message(self, *args): pass
ThreadingHTTPServer(("0.0.0.0", 9000), Echo).serve_forever()
`

const at = (label: string, path = '/') => `http://${label}.localhost:${httpPort}${path}`

interface Answer {
  status: number
  headers: string
  body: string
}

/** curl, with a cookie jar if one is named. */
async function curl(url: string, ...args: string[]): Promise<Answer> {
  const { code, stdout, stderr } = await program('curl', ['-sS', '-i', '-m', '60', ...caddy.resolve, ...args, url])
  if (code !== 0) throw new Error(`curl ended with ${code}: ${stderr}`)
  // With redirects followed, the last response counts.
  const last = stdout.lastIndexOf('\r\n\r\n', stdout.search(/\r\n\r\n(?!HTTP\/)/s))
  const split = last >= 0 ? last : stdout.indexOf('\r\n\r\n')
  const head = stdout.slice(0, split)
  const statuses = [...head.matchAll(/^HTTP\/[\d.]+ (\d+)/gm)]
  return { status: Number(statuses.at(-1)![1]), headers: head, body: stdout.slice(split + 4) }
}
const page = ['-H', 'Accept: text/html']
const echoed = async (...args: string[]) => JSON.parse((await curl(at('web-9000', '/a%20b?c=d'), ...args)).body)

/** Returns the token of a browser's session for an address. */
async function tokenFor(label: string, jar = 'owner'): Promise<string> {
  const cookies = await readFile(join(caddy.folder, jar), 'utf8')
  return new RegExp(`${label}\\.localhost\\t.*\\tcroft_session\\t(\\S+)`).exec(cookies)![1]!
}

/** The response's body, or the connection itself when it was upgraded. */
function open(label: string, path: string, headers: Record<string, string>): Promise<Duplex> {
  const host = `${label}.localhost:${httpPort}`
  return new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port: httpPort, path, headers: { Host: host, ...headers } })
      .on('response', (response) =>
        response.statusCode === 200
          ? resolve(response as unknown as Duplex)
          : reject(new Error(String(response.statusCode))),
      )
      .on('upgrade', (_, socket) => resolve(socket))
      .on('error', reject)
  })
}
const heard = async (stream: Duplex): Promise<string> => String((await once(stream, 'data'))[0])

/** Signs in as a person does: opens the link, presses the button. @returns curl arguments that act as this browser */
async function signIn(jar: string): Promise<string[]> {
  const browser = ['-b', join(caddy.folder, jar), '-c', join(caddy.folder, jar)]
  const link = (await croft.do('login')).split('\n')[0]!
  const form = await curl(link, ...browser, ...page)
  expect(form.body).toContain('<button>Sign in</button>')
  const code = /name="code" value="([^"]+)"/.exec(form.body)![1]!
  const answer = await curl(
    at('croft', '/login'),
    ...browser,
    '-H',
    `Origin: ${at('croft').slice(0, -1)}`,
    '-d',
    `code=${code}`,
  )
  expect(answer.status).toBe(303)
  return browser
}

test('nobody gets in without signing in, and nobody is told what there is', async () => {
  for (const label of ['web', 'web-9000', 'nothing']) {
    expect((await curl(at(label))).status).toBe(401)
    const { status, headers } = await curl(at(label), ...page)
    expect({ status, headers }).toMatchObject({
      status: 303,
      headers: expect.stringContaining(`Location: //croft.localhost:${httpPort}/enter?`),
    })
  }
  expect((await curl(at('croft'), ...page)).body).toContain('croft login')
})

test('unknown names get an answer that reveals nothing', async () => {
  for (const host of ['example.com', 'a.b.localhost', 'localhost', 'web-99999.localhost'])
    expect((await curl(`http://127.0.0.1:${httpPort}/`, '-H', `Host: ${host}`)).status).toBe(404)
  for (const path of ['//', '//[', '/?%', '/..%2f..'])
    expect((await curl(at('web', path), '--path-as-is', '-g')).status).toBe(401)
  expect((await curl(at('web', '/%'))).status).toBe(400)
})

test('through one forwarded port all of it is there, signing in too', async () => {
  const forward = createServer((client) => {
    const onward = connect(httpPort, '127.0.0.1')
    for (const socket of [client, onward]) socket.on('error', () => {})
    client.pipe(onward).pipe(client)
  }).listen(0, '127.0.0.1')
  await once(forward, 'listening')
  const { port } = forward.address() as AddressInfo
  const jar = join(caddy.folder, 'laptop')
  const browse = (host: string, path: string, ...args: string[]) =>
    curl(`http://${host}:${port}${path}`, '--resolve', `*:${port}:127.0.0.1`, '-b', jar, '-c', jar, ...page, ...args)
  const linkIn = ({ headers }: Answer) => /location: (?:http:)?\/\/([^:]+):\d+(\S+)/i.exec(headers)!
  try {
    const [, croftHost, enter] = linkIn(await browse('web.localhost', '/index.html?x=1'))
    const form = await browse(croftHost!, enter!)
    expect(form.body).toContain('paste it here')
    const fields = [...form.body.matchAll(/name="(\w+)" value="([^"]*)"/g)].map(([, name, value]) => `${name}=${value}`)
    expect(fields).toContain('to=/index.html?x=1')
    const link = (await croft.do('login')).split('\n')[0]!
    const data = [...fields, `code= ${link} `].flatMap((field) => ['--data-urlencode', field])
    const answer = await browse(croftHost!, '/login', '-H', `Origin: http://${croftHost}:${port}`, ...data)
    const next = await browse(croftHost!, /location: (\S+)/i.exec(answer.headers)![1]!)
    const onward = /href="(\/enter[^"]+)"/.exec(next.body)![1]!.replaceAll('&#38;', '&')
    expect((await browse(croftHost!, onward, '-L')).body).toBe('hello from web\n')
  } finally {
    forward.close()
  }
})

describe('who has signed in', () => {
  let browser: string[]
  beforeAll(async () => {
    browser = await signIn('owner')
  }, 60_000)

  test('opens a VM by its address, and is taken there by way of a session of its own', async () => {
    const { status, body } = await curl(at('web', '/index.html'), ...browser, ...page, '-L')
    expect({ status, body }).toEqual({ status: 200, body: 'hello from web\n' })
    expect((await curl(at('web'), ...browser)).body).toBe('hello from web\n')
  })

  test('a port has an address too, and everything goes through as it was sent', async () => {
    await curl(at('web-9000'), ...browser, ...page, '-L')
    const said = await echoed(
      ...browser,
      '-H',
      'Authorization: Basic YTpi',
      '-H',
      'X-Croft-User: somebody',
      '-H',
      'X-Croft-Upstream: 1.2.3.4:5',
      '-X',
      'PUT',
      '-d',
      'x'.repeat(100_000),
    )
    expect(said).toMatchObject({ method: 'PUT', path: '/a%20b?c=d', length: 100_000 })
    const headers = Object.fromEntries(said.headers)
    expect(headers).toMatchObject({
      Host: `web-9000.localhost:${httpPort}`,
      Authorization: 'Basic YTpi',
      Cookie: 'app=1',
      'X-Croft-User': 'owner',
      'X-Forwarded-For': '127.0.0.1',
      'X-Forwarded-Host': `web-9000.localhost:${httpPort}`,
      'X-Forwarded-Proto': 'http',
    })
    expect(Object.keys(headers).filter((name) => name.startsWith('X-Croft'))).toEqual(['X-Croft-User'])
  })

  test('a server’s events come when they are sent, and a WebSocket goes both ways', async () => {
    const headers = { Cookie: `croft_session=${await tokenFor('web-9000')}` }
    const events = await open('web-9000', '/events', headers)
    expect(await heard(events)).toBe('data: first\n\n')
    events.destroy()
    const upgrade = {
      Connection: 'Upgrade',
      Upgrade: 'websocket',
      'Sec-WebSocket-Version': '13',
      'Sec-WebSocket-Key': btoa('0123456789abcdef'),
    }
    const socket = await open('web-9000', '/', { ...headers, ...upgrade })
    for (const words of ['first', 'second']) {
      socket.write(words)
      expect(await heard(socket)).toBe(words)
    }
    socket.destroy()
    await expect(open('web-9000', '/', upgrade)).rejects.toThrow('401')
  })

  test('the session of one address opens no other', async () => {
    const cookie = ['-H', `Cookie: croft_session=${await tokenFor('web-9000')}`]
    expect((await curl(at('web-9000'), ...cookie)).status).toBe(200)
    for (const label of ['web', 'web-8000']) expect((await curl(at(label), ...cookie)).status).toBe(401)
    expect((await curl(at('croft'), ...cookie, ...page)).status).toBe(401)
  })

  test('a link works once, and is not used up by being opened', async () => {
    const link = (await croft.do('login')).split('\n')[0]!
    for (let i = 0; i < 3; i++) expect((await curl(link)).status).toBe(200)
    const post = () =>
      curl(at('croft', '/login'), '-H', `Origin: ${at('croft').slice(0, -1)}`, '-d', `code=${link.split('=')[1]}`)
    expect((await post()).status).toBe(303)
    expect((await post()).status).toBe(410)
    expect((await curl(link)).status).toBe(410)
  })

  test('our addresses send nobody elsewhere, and no other site’s page can sign anybody in', async () => {
    for (const to of ['//evil.example', 'https://evil.example', '/\\evil.example', 'javascript:alert(1)']) {
      const entering = await curl(
        at('croft', `/enter?host=web.localhost:${httpPort}&to=${encodeURIComponent(to)}`),
        ...browser,
      )
      const location = /Location: \/\/(\S+)/i.exec(entering.headers)![1]!
      expect((await curl(`http://${location}`)).headers).toMatch(/^location: \/\r?$/im)
    }
    expect((await curl(at('croft', '/enter?host=evil.example&to=/'), ...browser)).status).toBe(404)
    const code = (await croft.do('login')).split('\n')[0]!.split('=')[1]
    for (const origin of [[], ['-H', `Origin: ${at('web').slice(0, -1)}`]])
      expect((await curl(at('croft', '/login'), ...origin, '-d', `code=${code}`)).status).toBe(404)
  })

  test('a port on which nothing listens has a page that says which do', async () => {
    const { status, body } = await curl(at('web-7777'), ...browser, ...page, '-L')
    expect(status).toBe(502)
    expect(body).toContain('Nothing listens on port 7777 of web')
    expect(body).toContain(`href="//web-8000.localhost:${httpPort}/"`)
  })

  test('a sleeping VM wakes for a visitor', async () => {
    await croft.do('sleep', 'web')
    expect((await curl(at('web'), ...browser)).body).toBe('hello from web\n')
    expect(await croft.do('ls', '-q', '--state', 'awake')).toBe('web\n')
  })

  test('signing out ends every session immediately', async () => {
    const other = await signIn('other')
    const out = await curl(at('croft', '/logout'), ...other, '-H', `Origin: ${at('croft').slice(0, -1)}`, '-X', 'POST')
    expect(out.body).toContain('Signed out')
    expect((await curl(at('web'), ...browser)).status).toBe(401)
  })
})

test('a public port is shown at the address where anybody may open it, also when the plain address only happens to lead to it', async () => {
  expect(await croft.do('share', 'public', 'web', '8000')).toBe(`Anybody can now open ${at('web-8000')}\n`)
  expect((await curl(at('web-8000'))).status).toBe(200)
  expect((await curl(at('web'))).status).toBe(401)
  expect((await croft.ask('share-ls', { vm: 'web' })).shares[0].public).toEqual([{ port: 8000, web: at('web-8000') }])
  const { ports } = await croft.ask('ports', { vm: 'web' })
  expect(ports.find(({ port }: { port: number }) => port === 8000)).toMatchObject({
    main: true,
    public: true,
    web: at('web-8000'),
  })
  await croft.do('share', 'private', 'web', '8000')
})

describe('a VM that comes to the address of a VM', () => {
  const box = names.subnet.replace(/0\/\d+$/, '1')
  /** curl in the VM, where names lead to the box. */
  const fromVm = async (url: string, ...args: string[]): Promise<string> => {
    const options = ['-sS', '-m', '20', '-w', ' %{http_code} %{redirect_url}', '--resolve', `*:${httpPort}:${box}`]
    return croft.do('exec', 'web', '--', 'curl', ...options, ...args, url)
  }

  test('finds what is public, its own too, and is known by its own address', async () => {
    await croft.do('share', 'public', 'web')
    await croft.do('share', 'public', 'web', '9000')
    expect(await fromVm(at('web'))).toBe('hello from web\n 200 ')
    const { headers } = JSON.parse((await fromVm(at('web-9000'))).replace(/ 200 $/, ''))
    const { ip } = Object.values((await croft.state()).vms)[0]!
    expect(Object.fromEntries(headers)).toMatchObject({ 'X-Forwarded-For': ip })
    for (const port of ['8000', '9000']) await croft.do('share', 'private', 'web', port)
  })

  test('gets of the rest what a stranger gets, whatever it says', async () => {
    for (const url of [
      at('web'),
      at('web-9000'),
      at('nothing'),
      at('croft'),
      at('croft', '/login'),
      at('croft', '/api/events'),
    ]) {
      for (const args of [[], page, ['-H', 'X-Croft-User: owner', '-H', 'X-Forwarded-For: 127.0.0.1']]) {
        const { stdout } = await program('curl', [
          '-sS',
          '-w',
          ' %{http_code} %{redirect_url}',
          ...caddy.resolve,
          ...args,
          url,
        ])
        expect(stdout).toMatch(/ (303|4\d\d) .*$/)
        expect(await fromVm(url, ...args)).toBe(stdout)
      }
    }
  })

  test('finds no other port of the box', async () => {
    const connect = `timeout 2 bash -c '</dev/tcp/${box}/${croft.port}'; echo $?`
    expect(await croft.do('exec', 'web', connect)).toBe('124\n')
  })
})

describe('a public port', () => {
  test('is open to anybody, and opens no other', async () => {
    expect(await croft.do('share', 'public', 'web')).toBe(`Anybody can now open ${at('web')}\n`)
    expect((await curl(at('web'))).body).toBe('hello from web\n')
    expect((await curl(at('web-8000'))).body).toBe('hello from web\n')
    expect((await curl(at('web-9000'))).status).toBe(401)
    await croft.do('share', 'public', 'web', '9000')
    const { headers } = await echoed()
    expect(Object.keys(Object.fromEntries(headers)).filter((name) => name.startsWith('X-Croft'))).toEqual([])
    expect(await croft.do('share', 'ls')).toContain('8000, 9000')
    await croft.do('share', 'private', 'web', '9000')
    expect((await curl(at('web-9000'))).status).toBe(401)
    expect((await curl(at('web'))).status).toBe(200)
    expect(await croft.do('share', 'private', 'web')).toBe('web is private.\n')
    expect((await curl(at('web'))).status).toBe(401)
  })

  test('is the same with the dot of an absolute name; a browser is sent to the usual one', async () => {
    await croft.do('share', 'public', 'web', '9000')
    const absolute = (label: string) => ['-H', `Host: ${label}.localhost.:${httpPort}`]
    expect((await curl(at('web-9000'), ...absolute('web-9000'))).status).toBe(200)
    expect((await curl(at('web-9001'), ...absolute('web-9001'))).status).toBe(401)
    for (const [label, args] of [
      ['web-9000', page],
      ['croft', []],
    ] as const) {
      const { status, headers } = await curl(at(label, '/a?b'), ...absolute(label), ...args)
      expect(status).toBe(303)
      expect(headers).toContain(`Location: //${label}.localhost:${httpPort}/a?b`)
    }
    await croft.do('share', 'private', 'web', '9000')
  })

  test('says itself what server it is, and nobody else does', async () => {
    const servers = (headers: string) => [...headers.matchAll(/^Server: (\S+)/gim)].map(([, name]) => name)
    await croft.do('share', 'public', 'web', '9000')
    expect(servers((await curl(at('web-9000'))).headers)).toEqual([expect.stringMatching(/^BaseHTTP/)])
    expect(servers((await curl(at('web'))).headers)).toEqual([])
    await croft.do('share', 'private', 'web', '9000')
  })

  test('is among what goes with its VM, and is said before', async () => {
    await croft.do('share', 'public', 'web')
    await croft.do('domain', 'add', 'shop.example.com', 'web')
    expect((await croft.run(['rm', 'web'])).stderr).toMatch(
      /This deletes web: [\d.]+ .?B on disk, its own address shop\.example\.com, and its public port 8000\. It can't be undone/,
    )
    await croft.do('domain', 'rm', 'shop.example.com')
    await croft.do('share', 'private', 'web')
  })

  test('of a copy is private until it is shared', async () => {
    await croft.do('share', 'public', 'web')
    await croft.do('cp', 'web', 'copy')
    expect((await curl(at('copy'))).status).toBe(401)
    await croft.do('share', 'private', 'web')
    await croft.do('rm', 'copy', '--yes')
  })
})

describe('a share link', () => {
  test('lets whoever has it into that one address, says who comes, and ends when it is taken back', async () => {
    const [url, revoke] = (
      await croft.do('share', 'link', 'web', '--port', '9000', '--name', 'Ann Ö', '--expires', '1h')
    )
      .trim()
      .split('\n')
    const guest = ['-b', join(caddy.folder, 'guest'), '-c', join(caddy.folder, 'guest')]
    expect((await curl(url!, ...guest)).status).toBe(303)
    expect(Object.fromEntries((await echoed(...guest)).headers)).toMatchObject({
      'X-Croft-User': 'guest',
      'X-Croft-Name': 'Ann%20%C3%96',
    })
    const cookie = ['-H', `Cookie: croft_session=${await tokenFor('web-9000', 'guest')}`]
    for (const label of ['web', 'web-8000', 'croft'])
      expect((await curl(at(label), ...cookie, ...page)).status).not.toBe(200)
    expect(JSON.stringify(await croft.state())).not.toContain(url!.split('=')[1])
    const id = revoke!.split(' ').at(-1)!
    expect(await croft.do('share', 'ls', 'web')).toContain(id)
    expect(await croft.do('share', 'revoke', id)).toBe(`The link to ${at('web-9000')} for Ann Ö no longer works.\n`)
    expect((await curl(at('web-9000'), ...guest)).status).toBe(401)
    expect((await curl(at('web-9000'), ...guest, ...page, '-L')).body).toContain(
      'has expired or was revoked: ask for another',
    )
    expect((await curl(url!, ...guest)).status).toBe(410)
    expect(await croft.run(['share', 'revoke', id])).toMatchObject({ code: 3 })
  })

  test('that is taken back ends what its visitor has open, within a second', async () => {
    const [url, revoke] = (await croft.do('share', 'link', 'web', '--port', '9000')).trim().split('\n')
    const cookie = { Cookie: `croft_session=${url!.split('key=')[1]}` }
    const events = await open('web-9000', '/events', cookie)
    await heard(events)
    const ended = new Promise((resolve) => events.once('close', resolve).once('error', resolve))
    const began = performance.now()
    await croft.do('share', 'revoke', revoke!.split(' ').at(-1)!)
    await ended
    expect(performance.now() - began).toBeLessThan(3_000) // including the command's own start
    await expect(open('web-9000', '/events', cookie)).rejects.toThrow('401')
  })

  test('does not make a guest of the owner', async () => {
    const owner = await signIn('owner-too')
    await curl(at('web-9000'), ...owner, ...page, '-L')
    const [url] = (await croft.do('share', 'link', 'web', '--port', '9000')).split('\n')
    expect((await curl(url!, ...owner)).status).toBe(303)
    expect(Object.fromEntries((await echoed(...owner)).headers)).toMatchObject({ 'X-Croft-User': 'owner' })
  })

  test('who tries many that are none is told to wait, and how long', async () => {
    const tries = []
    for (let i = 0; i < 11; i++) tries.push(await curl(at('web', `/.croft/link?key=${i}`)))
    expect(new Set(tries.map(({ status }) => status))).toEqual(new Set([410, 429]))
    expect(tries.at(-1)!.status).toBe(429)
    expect(tries.at(-1)!.headers).toMatch(/^retry-after: \d+\r?$/im)
  })
})

describe('a token', () => {
  const bearer = (secret: string) => ['-H', `Authorization: Bearer ${secret}`]

  test('opens the addresses of its VM, and the VM does not see it', async () => {
    const secret = (await croft.do('token', 'new', '--vm', 'web', '--commands', 'web', '--name', 'ci')).split('\n')[0]!
    for (const way of [bearer(secret), ['-u', `git:${secret}`]]) {
      const headers = Object.fromEntries((await echoed(...way)).headers)
      expect(headers).toMatchObject({ 'X-Croft-User': 'token', 'X-Croft-Name': 'ci' })
      expect(headers).not.toHaveProperty('Authorization')
    }
    const api = await curl(at('croft', '/api/commands/ls'), ...bearer(secret), '-X', 'POST')
    expect({ status: api.status, body: api.body }).toMatchObject({
      status: 403,
      body: expect.stringContaining('not-allowed'),
    })
    const id = (await croft.do('token', 'ls', '-q')).trim()
    await croft.do('token', 'revoke', id)
    expect((await curl(at('web-9000'), ...bearer(secret))).status).toBe(401)
  })

  test('runs the commands that it is for, of its VM alone, at the box’s own address', async () => {
    await croft.do('new', 'other', '--stopped')
    const secret = (await croft.do('token', 'new', '--vm', 'web', '--commands', 'ls,show,token new')).split('\n')[0]!
    const call = (name: string, body: object) =>
      curl(at('croft', `/api/commands/${name}`), ...bearer(secret), '-d', JSON.stringify(body))
    expect(JSON.parse((await call('ls', {})).body).vms.map((vm: { name: string }) => vm.name)).toEqual(['web'])
    expect((await call('show', { vm: 'web' })).status).toBe(200)
    expect((await call('show', { vm: 'other' })).status).toBe(403)
    expect((await call('rm', { vm: 'web', yes: true })).status).toBe(403)
    expect((await call('token-new', { vm: 'web' })).status).toBe(403)
    expect((await curl(at('web'), ...bearer(secret))).status).toBe(401)
    expect((await curl(at('croft', '/api/health'))).status).toBe(403)
    await croft.do('rm', 'other', '--yes')
  })

  test('is asked for where a program comes with none, and not of a browser’s script', async () => {
    expect((await curl(at('web'))).headers).toMatch(/^www-authenticate: basic/im)
    expect((await curl(at('web'), '-H', 'Sec-Fetch-Mode: cors')).headers).not.toMatch(/^www-authenticate/im)
  })
})

describe('Caddy', () => {
  const serves = () =>
    vi.waitFor(async () => expect((await curl(at('web'))).status).toBe(401), { timeout: 5_000, interval: 50 })

  test('has its configuration again within 5 s of losing it, or of being killed', async () => {
    await caddy.api.load(caddy.nothing as any)
    await serves()
    await caddy.kill()
    await caddy.start()
    await serves()
  })

  test('holds requests while the daemon restarts: none fails', async () => {
    await croft.do('share', 'public', 'web', '8000')
    const answers: number[] = []
    let going = true
    const clients = Array.from({ length: 10 }, async () => {
      while (going) answers.push((await curl(at('web-8000'))).status)
    })
    const answered = async (more: number) => {
      const before = answers.length
      await vi.waitFor(() => expect(answers.length).toBeGreaterThanOrEqual(before + more), { timeout: 60_000 })
    }
    await answered(10)
    await croft.kill('SIGTERM')
    await croft.start()
    // More than the ten that were held.
    await answered(20)
    going = false
    await Promise.all(clients)
    expect(new Set(answers)).toEqual(new Set([200]))
  })
})
