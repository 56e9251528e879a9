import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { commands } from '../../daemon/commands/index.ts'
import { slug } from '../../daemon/commands/kit/command.ts'
import { errorCodes } from '../../daemon/lib/error.ts'
import { type Croft, startCroft } from '../lib/croft.ts'
import { must } from '../lib/program.ts'
import { KeyMaker } from '../lib/ssh-keys.ts'

/** Input from outside: wrong, hostile, too much, or all at the same time. */
let croft: Croft
let token: string
beforeAll(async () => {
  await once(github.listen(0, '127.0.0.1'), 'listening')
  const { port } = github.address() as AddressInfo
  croft = await startCroft({
    recipes: join(import.meta.dirname, 'fixtures/recipes'),
    image: false,
    env: { CROFT_KEYS_FROM: `http://127.0.0.1:${port}` },
  })
  await croft.do('image', 'build', 'tiny')
  token = (await readFile(join(croft.folder, 'token'), 'utf8')).trim()
}, 600_000)
afterAll(async () => {
  github.close()
  await keys[Symbol.asyncDispose]()
  await croft?.[Symbol.asyncDispose]()
})

const keys = new KeyMaker()
/** The public half of a new key. */
const newKey = async (comment: string) => (await keys.make(comment)).publicKey

/** A stand-in for GitHub: its answers, and the requests that it received. */
let published = ''
const asked: string[] = []
const github = createServer((request, response) => {
  asked.push(request.url!)
  response.end(published)
})

const make = (args: object) => croft.call('new', { image: 'tiny', stopped: true, ...args })

describe('wrong input', () => {
  test.each([
    ['a name with capitals', { name: 'Web' }, 'bad-name'],
    ['an empty name', { name: '' }, 'bad-value'],
    ['a name like the address of a port', { name: 'web-8080' }, 'bad-name'],
    ['a name with two dashes', { name: 'a--b' }, 'bad-name'],
    ['a name that ends in a dash', { name: 'web-' }, 'bad-name'],
    ['a reserved name', { name: 'croft' }, 'bad-name'],
    ['a name that climbs', { name: '../../etc/passwd' }, 'bad-name'],
    ['a name with XML in it', { name: '<x/>&"' }, 'bad-name'],
    ['a name with a NUL', { name: 'a\u0000b' }, 'bad-name'],
    ['a name of 41 letters', { name: 'a'.repeat(41) }, 'bad-name'],
    ['a name of 10,000 letters', { name: 'a'.repeat(10_000) }, 'bad-value'],
    ['an unknown image', { image: 'windows' }, 'not-found'],
    ['an image that climbs', { image: '../../../etc' }, 'not-found'],
    ['no CPUs', { cpu: 0 }, 'bad-value'],
    ['half a CPU', { cpu: 1.5 }, 'bad-value'],
    ['more CPUs than the box has', { cpu: 1000 }, 'bad-value'],
    ['more memory than the box has', { memory: '900T' }, 'bad-value'],
    ['hardly any memory', { memory: '1M' }, 'bad-value'],
    ['a disk beyond the disk', { disk: '900T' }, 'bad-value'],
    ['a size that is none', { disk: 'big' }, 'bad-value'],
    ['a number where a word is wanted', { comment: 5 }, 'bad-value'],
    ['a comment of two lines', { comment: 'a\nb' }, 'bad-value'],
    ['a comment with an escape sequence', { comment: '\u001b[31mred' }, 'bad-value'],
    ['a variable without a name', { env: ['=x'] }, 'bad-value'],
    ['a variable with a new line', { env: ['A=x\nB=y'] }, 'bad-value'],
    ['a tag with a space', { tag: ['a b'] }, 'bad-value'],
    ['an argument that is not there', { colour: 'red' }, 'misuse'],
    ['a prototype', { constructor: { prototype: {} } }, 'misuse'],
  ])('%s is refused with a stable code and a sentence', async (_, args, code) => {
    const before = await croft.state()
    const { status, body } = await make(args)
    expect(body).toMatchObject({
      code,
      type: `urn:croft:error:${code}`,
      status,
      detail: expect.stringMatching(/^\S.*[.?]$/s),
    })
    expect(status).toBe(errorCodes[code as keyof typeof errorCodes].status)
    expect(JSON.stringify(body)).not.toMatch(/\.ts:|node_modules|at async/)
    expect(await croft.state()).toEqual(before)
  })

  test.each([
    ['new', { image: 'tiny', memory: '1M' }, 'memory'],
    ['new', { image: 'tiny', memory: '900T' }, 'memory'],
    ['new', { image: 'tiny', cpu: 'two' }, 'cpu'],
    ['new', { image: 'tiny', disk: '900T' }, 'disk'],
    ['new', { image: 'tiny', name: 'Web' }, 'name'],
    ['new', { image: 'tiny', tag: ['a b'] }, 'tag'],
    ['rename', { vm: 'none' }, 'to'],
    ['key-add', { key: 'not a key' }, 'key'],
    ['token-new', { commands: 'fly' }, 'commands'],
  ])('%s of %j names the argument that is at fault', async (command, args, argument) => {
    expect((await croft.call(command, args)).body).toMatchObject({ argument })
  })

  test.each([
    ['{"name":', 'misuse'],
    ['[]', 'misuse'],
    ['"new"', 'misuse'],
    ['null', 'misuse'],
    ['\u0000', 'misuse'],
  ])('a body of %j is refused', async (body, code) => {
    const answer = await croft.request({ method: 'POST', path: '/api/commands/new', body })
    expect(answer).toMatchObject({ status: 400, headers: { 'content-type': 'application/problem+json' } })
    expect(JSON.parse(answer.text).code).toBe(code)
  })

  test('a body of 10 MB is refused', async () => {
    const answer = await croft.request({
      method: 'POST',
      path: '/api/commands/new',
      body: Buffer.alloc(10_000_000, 'a'),
    })
    expect(answer.status).toBe(413)
    expect(JSON.parse(answer.text).code).toBe('too-large')
  })

  test.each(['/', '/api', '/api/commands/..%2f..%2fetc', '/api/commands/nope', '/api/../../etc/passwd', '/%00'])(
    '%s is a 404',
    async (path) => {
      const answer = await croft.request(path.includes('commands') ? { method: 'POST', path, body: '{}' } : { path })
      expect(answer.status).toBe(404)
      expect(JSON.parse(answer.text).code).toBe('not-found')
    },
  )

  test('names that every object has are those of nothing', async () => {
    for (const word of ['constructor', '__proto__', 'toString', 'hasOwnProperty']) {
      for (const [name, args] of [
        ['show', { vm: word }],
        ['rm', { vm: word }],
        ['token-revoke', { token: word }],
        ['share-revoke', { link: word }],
        ['session-end', { session: word }],
        ['key-rm', { key: word }],
      ] as const) {
        // There is no web here, which some commands report first.
        const { status } = await croft.call(name, args)
        expect([name, word, status]).toEqual([name, word, expect.toSatisfy((each) => [404, 503].includes(each))])
      }
    }
  })

  test('a body that is deeper than any command takes is refused', async () => {
    const deep = (levels: number) => `{"vm":${'['.repeat(levels)}${']'.repeat(levels)}}`
    for (const levels of [40, 5_000, 500_000]) {
      const { status, text } = await croft.request({ method: 'POST', path: '/api/commands/show', body: deep(levels) })
      expect([levels, status, JSON.parse(text).code]).toEqual([levels, 400, 'misuse'])
    }
  })

  test('every command refuses arguments that it does not know, and never with a 500', async () => {
    for (const command of commands) {
      const name = command.name.replaceAll(' ', '-')
      for (const args of [{ nonsense: 1 }, { vm: '<&>', command: ['x'] }, { vm: { a: 1 } }, { image: null }]) {
        const { status, body } = await croft.call(name, args)
        expect([name, args, status, body.code]).toEqual([
          name,
          args,
          expect.toSatisfy((each) => each >= 400 && each < 500),
          expect.any(String),
        ])
      }
    }
  })

  test.each([
    [['new', '--memroy', '1G'], 2, 'Did you mean --memory?'],
    [['lss'], 2, 'Did you mean croft ls?'],
    [['new', 'a', 'b'], 2, '"b" is one argument too many'],
    [['show'], 2, 'needs <vm>'],
    [['show', 'wbe'], 3, 'No VM called "wbe".'],
    [['new', 'x', '--setup-script', '/nowhere'], 2, "can't be read"],
    [['image'], 2, 'needs a subcommand'],
    [['image', 'bulid'], 2, 'Did you mean croft image build?'],
    [['key', 'add', '/etc/hostname'], 2, 'is not a key'],
    [['rm', 'none', '--yes'], 3, 'There are no VMs yet'],
  ])('croft %j ends with %i and says %j', async (args, code, says) => {
    const ended = await croft.run(args)
    expect(ended).toMatchObject({ code, stdout: '', stderr: expect.stringContaining(says) })
  })
})

describe('free text', () => {
  const nasty = `a & b < c > "d" 'e' \${F} $(g) \`h\` ]]> --> é 漢 🐑`
  test('comes back as it went in, through XML, store and JSON', async () => {
    await croft.do('new', 'nasty', '--image', 'tiny', '--stopped', '--comment', nasty, '--env', `X=${nasty}`)
    expect(await croft.ask('show', { vm: 'nasty' })).toMatchObject({ comment: nasty, env: { X: nasty } })
    await croft.do('comment', 'nasty', '--', '--yes')
    expect(await croft.ask('show', { vm: 'nasty' })).toMatchObject({ comment: '--yes' })
    await croft.do('rm', 'nasty', '--yes')
  })
})

describe('many at once', () => {
  test('20 VMs made at the same moment have names, addresses, MACs and disks of their own', async () => {
    const made = await Promise.all(Array.from({ length: 20 }, () => make({})))
    expect(made.map(({ status }) => status)).toEqual(Array(20).fill(200))
    const state = await croft.state()
    const vms = Object.values(state.vms)
    for (const field of ['name', 'ip', 'mac', 'uuid', 'machineId'] as const)
      expect(new Set(vms.map((vm) => vm[field])).size).toBe(20)
    expect(state.operations).toEqual({})
    await Promise.all(vms.map((vm) => croft.ask('rm', { vm: vm.name, yes: true })))
    expect((await croft.state()).vms).toEqual({})
  })

  test('of 20 that want the same name one gets it, and the others are refused', async () => {
    const made = await Promise.all(Array.from({ length: 20 }, () => make({ name: 'same' })))
    const refused = made.filter(({ status }) => status !== 200)
    expect(refused).toHaveLength(19)
    for (const { body } of refused) expect(body).toMatchObject({ code: 'name-taken', status: 409, argument: 'name' })
    await make({ name: 'other' })
    const renamed = await croft.call('rename', { vm: 'other', to: 'same' })
    expect(renamed.body).toMatchObject({ code: 'name-taken', argument: 'to' })
    await croft.ask('rm', { vm: 'other', yes: true })
    await croft.ask('rm', { vm: 'same', yes: true })
  })

  test('a VM that is deleted twice at the same time is deleted once', async () => {
    await make({ name: 'twice' })
    const both = await Promise.all([1, 2].map(() => croft.call('rm', { vm: 'twice', yes: true })))
    expect(both.map(({ status }) => status).sort()).toEqual([200, 404])
  })
})

describe('the door on loopback', () => {
  const get = (headers: Record<string, string>) => croft.request({ tcp: true, path: '/api/health', headers })
  const auth = () => ({ authorization: `Bearer ${token}` })
  const host = () => `localhost:${croft.port}`

  test('lets the token in, under our own names', async () => {
    expect(await get({ ...auth(), host: host() })).toMatchObject({ status: 200 })
    expect(await get({ ...auth(), host: `127.0.0.1:${croft.port}`, origin: `http://${host()}` })).toMatchObject({
      status: 200,
    })
  })
  test.each([
    ['no token', () => ({ host: host() })],
    ['a wrong token', () => ({ host: host(), authorization: 'Bearer croft_x' })],
    ['a token in another scheme', () => ({ host: host(), authorization: `Basic ${token}` })],
    ["another name's Host (DNS rebinding)", () => ({ ...auth(), host: `evil.example:${croft.port}` })],
    ['our Host without its port', () => ({ ...auth(), host: 'localhost' })],
    ["another page's Origin", () => ({ ...auth(), host: host(), origin: 'http://evil.example' })],
    ['a null Origin', () => ({ ...auth(), host: host(), origin: 'null' })],
  ])('does not let in %s', async (_, headers) => {
    const answer = await get(headers())
    expect(answer.status).toBe(403)
    expect(JSON.parse(answer.text).code).toBe('not-allowed')
  })
  test('has metrics for Prometheus, for callers that may see the whole box', async () => {
    await make({ name: 'counted' })
    const secret = async (args: object): Promise<string> => (await croft.ask('token-new', args)).secret
    const metrics = (given?: string) =>
      croft.request({ tcp: true, path: '/metrics', headers: given ? { authorization: `Bearer ${given}` } : {} })
    const answer = await metrics(await secret({ commands: 'stat' }))
    expect(answer).toMatchObject({
      status: 200,
      headers: { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' },
    })
    expect(answer.text).toMatch(/^croft_vm_disk_bytes\{id="vm_[a-z2-7]{10}",name="counted"\} \d+$/m)
    expect(answer.text).toMatch(/^croft_box_cpu_busy_seconds_total [\d.]+$/m)
    for (const [given, says] of [
      [undefined, 'This needs a token'],
      [await secret({ vm: 'counted' }), 'Your access is limited to counted'],
      [await secret({ commands: 'ls' }), 'You may not run stat'],
    ] as const) {
      const refused = await metrics(given)
      expect(refused.status).toBe(403)
      expect(JSON.parse(refused.text).detail).toContain(says)
    }
    await croft.ask('rm', { vm: 'counted', yes: true })
  })
  test('is closed to the network', async () => {
    const listening = await must('ss', ['-ltnH', `sport = :${croft.port}`])
    expect(listening.trim().split(/\s+/)[3]).toBe(`127.0.0.1:${croft.port}`)
  })
})

describe('the API', () => {
  test('completes only what a limited caller may see', async () => {
    for (const name of ['mine', 'other']) await make({ name })
    const { secret } = await croft.ask('token-new', { vm: 'mine' })
    const headers = { host: `localhost:${croft.port}`, authorization: `Bearer ${secret}` }
    const words = async (...begun: string[]) => {
      const body = JSON.stringify({ words: begun })
      const answer = await croft.request({ tcp: true, method: 'POST', path: '/api/commands/complete', headers, body })
      return JSON.parse(answer.text).candidates.filter((word: string) => !word.startsWith('-'))
    }
    expect(await words('start', '')).toEqual(['mine'])
    expect(await words('new', '--image', '')).toEqual([])
    for (const name of ['mine', 'other']) await croft.do('rm', name, '-y')
  })

  test('runs a line of text', async () => {
    const answer = await croft.request({
      method: 'POST',
      path: '/api/exec',
      headers: { 'content-type': 'text/plain' },
      body: 'croft new "line" --image tiny --stopped',
    })
    expect(answer).toMatchObject({ status: 200, text: 'line is made. Start it: croft start line\n' })
    expect(answer.headers['x-croft-exit']).toBe('0')
    const refused = await croft.request({
      method: 'POST',
      path: '/api/exec',
      headers: { 'content-type': 'text/plain' },
      body: 'rm line',
    })
    expect(refused.headers['x-croft-exit']).toBe('1')
    await croft.do('rm', 'line', '-y')
  })

  test('describes every command in OpenAPI', async () => {
    const document = JSON.parse((await croft.request({ path: '/api/openapi.json' })).text)
    const paths = Object.keys(document.paths)
    expect(paths).toEqual(expect.arrayContaining(commands.map((command) => `/api/commands/${slug(command)}`)))
    expect(paths).toEqual(expect.arrayContaining(['/api/exec', '/api/events', '/api/terminals', '/api/terminal']))
    const schema = document.paths['/api/commands/new'].post.requestBody.content['application/json'].schema
    expect(schema.properties.cpu).toMatchObject({ type: 'integer', minimum: 1 })
  })

  test('streams progress of a long command', async () => {
    const answer = await croft.request({
      method: 'POST',
      path: '/api/commands/image-build',
      headers: { accept: 'application/x-ndjson' },
      body: '{"recipe":"tiny"}',
    })
    const lines = answer.text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(lines).toContainEqual({
      progress: expect.objectContaining({ subject: 'tiny', step: 'making nothing', fraction: 0.1 }),
    })
    expect(lines.at(-1)).toMatchObject({ result: { name: 'tiny' } })
  })

  test('tells events in order, resumes after the last one seen, and says so when it can not', async () => {
    using events = await croft.events()
    const first = await events.until((event) => event.event === 'state')
    await make({ name: 'one' })
    const seen = await events.until((event) => event.type === 'vm.new')
    await croft.ask('comment', { vm: 'one', text: 'x' })
    await croft.ask('rm', { vm: 'one', yes: true })
    await events.until((event) => event.type === 'vm.removed')
    using resumed = await croft.events({ 'last-event-id': seen.id })
    const missed = await resumed.until((event) => event.type === 'vm.removed')
    const types = resumed.seen.map((event) => event.type).filter((type) => type !== 'activity')
    expect(types).toEqual(['vm.changed', 'vm.removed'])
    expect(missed.name).toBe('one')
    using stranger = await croft.events({ 'last-event-id': 'another-run-5' })
    expect((await stranger.until(() => true)).event).toBe('state')
    expect(first.id).toMatch(/-\d+$/)
  })

  test('completes words from the same declarations', async () => {
    await make({ name: 'finch' })
    expect(await croft.do('complete', '--', 'im')).toBe('image\n')
    expect(await croft.do('complete', '--', 'image', 'b')).toBe('build\n')
    expect(await croft.do('complete', '--', 'start', 'f')).toBe('finch\n')
    expect(await croft.do('complete', '--', 'new', '--image', '')).toBe('tiny\n')
    expect(await croft.do('complete', '--', 'new', '--mem')).toBe('--memory\n')
    await croft.do('rm', 'finch', '-y')
  })
})

describe('keys', () => {
  const key = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHUQ7BEOE2yGKPZ2DtR0YFzFmMDcY9bUvKXPVDGHiVpX ann@laptop'
  const add = (input: string, ...flags: string[]) => croft.run(['key', 'add', '-', ...flags], { input })
  test('are added from standard input, listed and shut out', async () => {
    const added = await croft.run(['key', 'add', '-'], { input: `# mine\n${key}\n` })
    expect(added).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^ann@laptop can now enter all VMs \(SHA256:/),
    })
    expect(await croft.do('key', 'ls', '-q')).toBe('ann@laptop\n')
    expect(await croft.run(['key', 'rm', 'ann@laptop'])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('the only key'),
    })
    await croft.do('key', 'rm', 'ann@laptop', '--yes')
    expect(await croft.do('key', 'ls')).toContain('No keys')
  })

  test('may enter one VM or those with a tag, and are not there twice', async () => {
    await make({ name: 'shop' })
    const [ada, runner, ca] = await Promise.all(['ada@laptop', 'runner', 'ca'].map(newKey))
    expect(await add(ada!, '--vm', 'shop')).toMatchObject({
      stdout: expect.stringMatching(/^ada@laptop can now enter shop \(SHA256:/),
    })
    expect(await add(runner!, '--tag', 'ci')).toMatchObject({
      stdout: expect.stringMatching(/^runner can now enter VMs tagged "ci" \(/),
    })
    expect(await add(ca!, '--name', 'company', '--authority')).toMatchObject({
      stdout: expect.stringMatching(/^Anybody with a certificate signed by company can now enter all VMs \(/),
    })
    const listed = (await croft.do('key', 'ls')).split('\n').map((line) => line.split(/ {2,}/).slice(0, 3))
    expect(listed).toEqual([
      ['NAME', 'VM', 'TYPE'],
      ['ada@laptop', 'shop', 'ssh-ed25519'],
      ['runner', 'tag ci', 'ssh-ed25519'],
      ['company', 'all', 'ssh-ed25519 authority'],
      [''],
    ])
    expect((await croft.ask('key-ls')).keys).toMatchObject([
      { name: 'ada@laptop', vm: 'shop', tag: null, authority: false },
      { name: 'runner', vm: null, tag: 'ci', authority: false },
      { name: 'company', vm: null, tag: null, authority: true },
    ])
    expect((await add(ada!, '--vm', 'shop')).code).toBe(0)
    expect(await add(ada!)).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/as a key for shop only\.\n.*croft key rm ada@laptop/),
    })
    expect(await add(ada!, '--vm', 'shop', '--tag', 'ci')).toMatchObject({ code: 2 })
    expect(await add(await newKey('x'), '--vm', 'shpo')).toMatchObject({ code: 3 })

    await croft.do('rename', 'shop', 'store')
    expect((await croft.ask('key-ls')).keys[0]).toMatchObject({ vm: 'store' })
    await croft.do('rm', 'store', '--yes')
    expect(await croft.do('key', 'ls', '-q')).toBe('runner\ncompany\n')
    for (const name of ['runner', 'company']) await croft.do('key', 'rm', name, '--yes')
  })

  test('have a name each, that can be changed', async () => {
    await add(await newKey('me@laptop'))
    expect(await add(await newKey('me@laptop'))).toMatchObject({
      stdout: expect.stringMatching(/^me@laptop-2 can now/),
    })
    const taken = { code: 1, stderr: expect.stringContaining('There is already a key called "me@laptop".') }
    expect(await add(await newKey('other'), '--name', 'me@laptop')).toMatchObject(taken)
    expect(await croft.run(['key', 'rename', 'me@laptop-2', 'me@laptop'])).toMatchObject(taken)
    expect(await croft.do('key', 'rename', 'me@laptop-2', 'phone')).toMatch(/^It is now called phone/)
    expect((await croft.run(['key', 'rename', 'nobody', 'x'])).code).toBe(3)
    expect(await croft.do('key', 'ls', '-q')).toBe('me@laptop\nphone\n')
    for (const name of ['me@laptop', 'phone']) await croft.do('key', 'rm', name, '--yes')
  })

  test('come from a user of GitHub, by name', async () => {
    published = `${await newKey('')}${await newKey('')}`
    expect(await croft.do('key', 'add', 'gh:ada', '--tag', 'ci', '-q')).toBe('ada\nada-2\n')
    expect(asked.at(-1)).toBe('/ada.keys')
    expect((await croft.ask('key-add', { key: 'gh:ada', tag: 'ci' })).keys).toHaveLength(2)
    expect((await croft.ask('activity')).entries.at(-1)).toMatchObject({ what: 'croft key add gh:ada --tag ci' })
    for (const name of ['ada', 'ada-2']) await croft.do('key', 'rm', name, '--yes')
    published = ''
    expect(await croft.run(['key', 'add', 'gh:ada'])).toMatchObject({
      code: 3,
      stderr: expect.stringMatching(/ada has no keys at 127/),
    })
    expect(await croft.run(['key', 'add', 'gh:a/../b'])).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/is not a GitHub user name/),
    })
    expect(asked).toHaveLength(3)
  })

  test.each([
    ['a private key', '-----BEGIN OPENSSH PRIVATE KEY-----\n', 'stays with you'],
    ['nothing', '\n', 'no key'],
    ['options', `command="id" ${key}`, 'options'],
    ['a broken key', 'ssh-ed25519 AAAA', 'ssh-keygen'],
  ])('%s is refused', async (_, input, says) => {
    expect(await croft.run(['key', 'add', '-'], { input })).toMatchObject({
      code: 2,
      stderr: expect.stringContaining(says),
    })
  })
})
