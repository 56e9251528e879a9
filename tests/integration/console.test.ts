import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { WebSocket } from 'ws'
import { TestCaddy } from '../lib/caddy.ts'
import { Consoles } from '../lib/console.ts'
import { type Croft, httpPort, startCroft } from '../lib/croft.ts'
import { sample } from '../lib/deep.ts'
import { servePython } from '../lib/guest-server.ts'
import { program } from '../lib/program.ts'
import { qemuPid } from '../lib/qemu.ts'

/** The console, in Debian's Chromium, as a newcomer sees it who has read nothing about Croft. */
let caddy: TestCaddy
let croft: Croft
const consoles = new Consoles(() => croft)
beforeAll(async () => {
  caddy = await TestCaddy.start()
  croft = await startCroft({ image: 'bare', config: { web: caddy.web } })
}, 600_000)
afterAll(async () => {
  await consoles[Symbol.asyncDispose]()
  await croft?.[Symbol.asyncDispose]()
  await caddy?.[Symbol.asyncDispose]()
})

const patience = { timeout: 60_000, interval: 100 }
const at = (path: string) => consoles.at(path)
const { complaints } = consoles
const signedIn = (options?: Parameters<Consoles['signedIn']>[0]) => consoles.signedIn(options)
beforeEach(() => {
  complaints.length = 0
})

async function openPalette(page: Page): Promise<void> {
  await page.keyboard.press('Control+k')
  await page.waitForSelector('dialog[open]')
}
const heading = (page: Page) => page.textContent('h1')
const line = async (page: Page) => (await page.textContent('footer code'))!.replace(/^\$ /, '')

test('a stranger gets no console, and nothing of the API', async () => {
  const page = await (await consoles.browsers.open()).newPage()
  for (const path of ['/', '/vms', '/vms/web', '/new']) {
    const answer = await page.goto(at(path))
    expect([path, answer!.status(), await heading(page)]).toEqual([path, 401, 'Sign in'])
  }
  const nothing = await page.goto(at('/foo'))
  expect([nothing!.status(), await heading(page)]).toEqual([404, 'Nothing here'])
  expect(await page.getAttribute('link[rel=icon]', 'href')).toMatch(/^data:image\/svg/)
  expect((await croft.request({ method: 'HEAD', path: '/', tcp: true })).status).toBe(401)
  expect((await croft.request({ method: 'POST', path: '/api/commands/ls', tcp: true })).status).toBe(403)
})

test('an unknown path shows the console’s own not-found page, each view survives a reload, and there are icons', async () => {
  const page = await signedIn()
  for (const [path, status] of [
    ['/foo', 404],
    ['/foo/bar', 404],
    ['/%E0%A4%A', 404],
    ['/images/x', 404],
    ['/vms/first/nonsense', 200],
    ['/settings/nonsense', 200],
  ] as const) {
    const answer = await page.goto(at(path))
    await page.waitForSelector('h1')
    expect([path, answer!.status(), await heading(page)]).toEqual([path, status, 'Nothing here'])
    expect(await page.textContent('main')).toContain(`There is no page at ${path}`)
    await page.click('nav >> text=VMs')
    await page.waitForSelector('h1:has-text("VMs")')
  }
  for (const [path, title] of [
    ['/images', 'Images'],
    ['/backups', 'Backups'],
    ['/settings/tokens', 'Settings'],
    ['/activity', 'Activity'],
    ['/new', 'New VM'],
  ] as const) {
    await page.goto(at(path))
    await page.reload()
    await page.waitForSelector(`h1:has-text("${title}")`)
  }
  const missing = await page.request.get(at('/assets/gone.js'), { headers: { accept: '*/*' } })
  expect([missing.status(), missing.headers()['content-security-policy']]).toEqual([
    404,
    expect.not.stringContaining('script-src'),
  ])
  for (const [path, type] of [
    ['/favicon.ico', 'image/x-icon'],
    ['/mark.svg', 'image/svg+xml'],
    ['/apple-touch-icon.png', 'image/png'],
  ] as const) {
    const icon = await page.request.get(at(path))
    expect([path, icon.status(), icon.headers()['content-type']]).toEqual([path, 200, type])
  }
  expect(complaints).toEqual([])
})

test('an error is shown at its field, and placeholders are the box’s defaults', async () => {
  const page = await signedIn()
  await page.goto(at('/new'))
  await page.click('summary')
  const gives = await page.waitForSelector('#memory[placeholder="512 MiB"]')
  expect(await gives.getAttribute('aria-invalid')).toBe(null)
  const refused = async (field: string, says: RegExp) => {
    await page.click('text=Make it')
    await page.waitForSelector(`#${field}[aria-invalid=true]:focus`)
    expect(await page.textContent(`#${field}-problem`)).toMatch(says)
    expect(await page.locator('[role=alert]').count()).toBe(1)
    expect(await page.locator('footer .bad').count()).toBe(0)
  }
  await page.fill('#name', 'Not A Name')
  await refused('name', /"Not A Name" can't be the name of a VM.*For example: not-a-name/)
  await page.fill('#name', 'fine')
  expect(await page.locator('[role=alert]').count()).toBe(0)
  await page.fill('#cpu', 'two')
  await refused('cpu', /"two"/)
  await page.fill('#cpu', '')
  await page.fill('#memory', '1M')
  // A field in a closed section is shown.
  await page.click('summary')
  await refused('memory', /"1M".*at least 128M/)
  await page.fill('#memory', '900T')
  await refused('memory', /MiB of memory/)
  await page.fill('#memory', '')
  await page.fill('#tags', 'UPPER')
  await refused('tags', /a tag has/)
  expect(await croft.do('ls', '-q')).toBe('')
})

test('somebody new makes a VM, opens a port of it to all, and undoes a mistake', async () => {
  const page = await signedIn()
  await page.click('text=New VM')
  const name = await page.inputValue('#name')
  expect(name).toMatch(/^[a-z]+-[a-z]+$/)
  await page.fill('#name', 'first')
  await page.hover('text=Make it')
  expect(await line(page)).toBe('croft new first')
  await page.click('text=Make it')
  // Done means usable.
  await page.waitForSelector('h1:has-text("first")')
  expect(page.url()).toBe(at('/vms/first'))
  expect(await croft.do('exec', 'first', 'hostname')).toBe('first\n')

  await page.click('nav >> text=Ports')
  await servePython(croft, 'first', server, 8000)
  await page.waitForSelector('td:has-text("8000")')
  const curl = () =>
    program('curl', ['-s', '-o', '/dev/null', '-w', '%{http_code}', `http://first.localhost:${httpPort}/`])
  expect((await curl()).stdout).toBe('401')
  await page.hover('text=Make public')
  expect(await line(page)).toBe('croft share public first')
  await page.click('text=Make public')
  await page.waitForSelector('text=Make private')
  expect((await curl()).stdout).toBe('200')
  await page.waitForSelector('.heading .public:has-text("public")')
  // A server that isn't for the web is reached through SSH, wherever it listens.
  await croft.do('exec', 'first', 'tmux new -d python3 -m http.server --bind 127.0.0.1 5432')
  const row = 'tr:has(b:text-is("5432"))'
  await page.waitForSelector(row)
  expect(await page.textContent(row)).toMatch(/PostgreSQL is not a web server.*croft ssh first -L 5432:localhost:5432/)
  expect(await page.textContent(row)).not.toContain('0.0.0.0')
  for (const [path, place] of [
    ['/vms', 'tr:has-text("first") .public'],
    ['/', '.parcel.open a[title*=", public:"]'],
  ] as const) {
    await page.goto(at(path))
    await page.waitForSelector(place)
  }
  await page.goto(at('/vms/first'))

  await croft.do('exec', 'first', 'echo precious > file; sync')
  await page.click('.heading >> text=Checkpoint')
  await page.waitForSelector('footer >> text=has a new checkpoint')
  await croft.do('exec', 'first', 'rm file')
  await page.click('nav >> text=Checkpoints')
  await page.hover('text=Go back to it')
  expect(await line(page)).toBe('croft restore first c1')
  await page.click('text=Go back to it')
  await page.waitForSelector('footer >> text=first is restored')
  expect(await croft.do('exec', 'first', 'cat file')).toBe('precious\n')
  expect(complaints).toEqual([])
})

const server = `
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Hello(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "6")
        self.end_headers()
        self.wfile.write(b"hello\\n")
ThreadingHTTPServer(("0.0.0.0", 8000), Hello).serve_forever()
`

/** Returns the lines of the page's terminal, trimmed at the end. */
const screen = async (page: Page) =>
  (await page.locator('.xterm-rows > div').allTextContents()).map((each) => each.replaceAll('\u00a0', ' ').trimEnd())
const shows = (page: Page, words: string) =>
  vi.waitFor(async () => expect(await screen(page)).toContain(words), patience)

test('a terminal goes on while nobody looks, has the size of its window, and can be seen from several places', async () => {
  const page = await signedIn({ viewport: { width: 1024, height: 800 } })
  await page.goto(at('/vms/first'))
  await vi.waitFor(async () => expect((await screen(page)).join()).toContain('dev@first'), patience)
  await page.keyboard.type('word=kept; printf "\\e[38;2;120;40;0mtrue colour\\e[0m\\n"; stty size\n')
  await shows(page, 'true colour')
  expect(await page.getAttribute('.xterm-rows span:text-is("true colour")', 'style')).toContain('rgb(120, 40, 0)')
  const sizeOf = async () => (await screen(page)).findLast((each) => /^\d+ \d+$/.test(each))
  const before = await vi.waitUntil(sizeOf, patience)
  await page.reload()
  await shows(page, 'true colour')
  await page.setViewportSize({ width: 800, height: 700 })
  await page.click('.screen')
  await page.keyboard.type('echo it is $word; stty size\n')
  await shows(page, 'it is kept')
  await vi.waitFor(async () => expect(await sizeOf()).not.toBe(before), patience)

  const other = await signedIn()
  await other.goto(at('/vms/first'))
  await shows(other, 'it is kept')
  await other.keyboard.type('echo from the other\n')
  await shows(page, 'from the other')

  await page.click('text=+ new')
  await vi.waitFor(async () => expect((await screen(page)).join()).toContain('dev@first'), patience)
  await page.keyboard.type('test "$word" || echo another\n')
  await shows(page, 'another')
  await page.keyboard.type('exit\n')
  await vi.waitFor(async () => expect((await screen(page)).join()).toContain('Press Enter to open another'), patience)

  // All keys go to the shell but one, by which the keyboard can leave.
  await page.click('.screen')
  await page.keyboard.press('Tab')
  expect(await page.evaluate('document.activeElement.closest(".screen") !== null')).toBe(true)
  await page.keyboard.press('Control+Shift+ArrowUp')
  expect(await page.evaluate('document.activeElement.getAttribute("aria-label")')).toBe('Terminal 2')
  expect(complaints).toEqual([])
})

test('a terminal is refused to those who may not enter the VM', async () => {
  const refused = (headers: Record<string, string>) =>
    new Promise<number | undefined>((resolve) => {
      const socket = new WebSocket(at('/api/terminal?vm=first').replace('http', 'ws'), { headers })
      socket.once('unexpected-response', (_, response) => resolve(response.statusCode))
      socket.once('open', () => resolve(undefined))
      socket.once('error', () => {})
    })
  const page = await signedIn()
  const { name, value } = (await page.context().cookies())[0]!
  const Cookie = `${name}=${value}`
  expect(await refused({})).toBe(403)
  expect(await refused({ Cookie, Origin: 'http://evil.example' })).toBe(403)
  expect(await refused({ Cookie, Origin: at('').replace('localhost', 'first.localhost') })).toBe(403)
  const token = (await croft.do('token', 'new', '--vm', 'first', '--commands', 'ls')).split('\n')[0]!
  expect(await refused({ Authorization: `Bearer ${token}` })).toBe(403)
  expect(await refused({ Cookie, Origin: at('') })).toBe(undefined)

  const open = new WebSocket(at('/api/terminal?vm=first').replace('http', 'ws'), {
    headers: { Cookie, Origin: at('') },
  })
  await once(open, 'message')
  const closed = once(open, 'close')
  const began = performance.now()
  await page.goto(at('/settings/sign-ins'))
  await page.click('text=Sign out everywhere')
  expect((await closed)[0]).toBe(1008)
  expect(performance.now() - began).toBeLessThan(5_000)
})

test('two people see the same, within a second of it being so', async () => {
  const [one, other] = [await signedIn(), await signedIn()]
  for (const page of [one, other]) await page.goto(at('/vms'))
  await one.waitForSelector('tr:has-text("first") >> text=awake')
  await croft.do('new', 'second', '--stopped')
  const made = performance.now()
  await Promise.all([one, other].map((page) => page.waitForSelector('tr:has-text("second") >> text=stopped')))
  expect(performance.now() - made).toBeLessThan(1_000)
  await one.click('tr:has-text("second") >> a')
  await one.click('.heading >> text=Delete')
  // The question names what would be lost.
  expect(await one.textContent('dialog')).toMatch(
    /This deletes second: .* on disk.*It can't be undone.*croft rm second --yes/s,
  )
  await one.click('dialog >> text=Keep it')
  await one.waitForSelector('dialog', { state: 'detached' })
  expect(await croft.do('ls', '-q')).toBe('first\nsecond\n')
  await one.click('.heading >> text=Delete')
  await one.click('dialog >> button:text-is("Delete")')
  await other.waitForSelector('tr:has-text("second")', { state: 'detached' })
  await one.waitForSelector('h1:has-text("VMs")')
  expect(complaints).toEqual([])
})

test('what is selected in the list is put to sleep, or deleted, by one button', async () => {
  const page = await signedIn()
  await Promise.all(['one', 'two', 'three'].map((name) => croft.do('new', name, '--stopped')))
  await page.goto(at('/vms'))
  for (const name of ['one', 'two', 'three', 'first']) await page.check(`[aria-label="Select ${name}"]`)
  expect(await page.textContent('.selection')).toMatch(/4 selected.*Start 3.*Sleep 1.*Stop 1.*Delete/)
  await page.uncheck('[aria-label="Select first"]')
  await page.hover('.selection >> text=Delete')
  expect(await line(page)).toBe('croft rm one; croft rm three; croft rm two')
  await page.click('.selection >> text=Delete')
  expect(await page.textContent('dialog')).toMatch(/deletes one: .*deletes three: .*deletes two: /s)
  expect(await page.locator('dialog button').allTextContents()).toEqual(['Keep them', 'Delete'])
  await page.click('dialog >> button:text-is("Delete")')
  await page.waitForSelector('footer >> text=3 deleted')
  expect(await croft.do('ls', '-q')).toBe('first\n')
  expect(complaints).toEqual([])
})

test('a copy has the name that is asked for', async () => {
  const page = await signedIn()
  await croft.do('new', 'still', '--stopped')
  await page.goto(at('/vms/still'))
  await page.click('text=Copy…')
  expect(await page.inputValue('#copy-name')).toBe('still-copy')
  await page.fill('#copy-name', 'still-try')
  await page.keyboard.press('Enter')
  await page.waitForSelector('h1:has-text("still-try")')
  await croft.do('rm', 'still', '--yes')
  await croft.do('rm', 'still-try', '--yes')
})

test('text from a guest or a user is shown as text everywhere', async () => {
  const evil = `<img src=x onerror="document.title='bad'">`
  await croft.do('comment', 'first', evil)
  await croft.do('exec', 'first', `echo '<script>document.title="bad"</script>' | sudo tee /dev/ttyS0 > /dev/null`)
  const page = await signedIn()
  for (const path of ['/', '/vms', '/vms/first/settings', '/vms/first/log']) {
    await page.goto(at(path))
    await page.waitForSelector('h1')
    if (path === '/vms') await page.waitForSelector('text=<img src=x')
    if (path.endsWith('log')) await page.waitForSelector('pre:has-text("<script>")')
    expect(await page.title()).toMatch(/^(\w+ · )?Croft$/)
  }
  await croft.do('comment', 'first', '')
  expect(complaints).toEqual([])
})

test('a daemon that goes away is missed and found again, without a reload', async () => {
  const page = await signedIn()
  await page.goto(at('/vms'))
  await page.waitForSelector('tr:has-text("first")')
  await page.evaluate(() => Object.assign(globalThis, { same: true }))
  await croft.kill('SIGTERM')
  await page.waitForSelector('header >> text=The box does not answer.')
  await croft.start()
  await page.waitForSelector('header .where:not(.lost)')
  await croft.do('new', 'later', '--stopped')
  await page.waitForSelector('tr:has-text("later")')
  expect(await page.evaluate(() => 'same' in globalThis)).toBe(true)
  await croft.do('rm', 'later', '--yes')
})

test('everything is found by typing, and done by keyboard alone', async () => {
  const page = await signedIn()
  await openPalette(page)
  await page.keyboard.type('first')
  await page.waitForSelector('[role=option]')
  await page.keyboard.press('Enter')
  await page.waitForSelector('h1:has-text("first")')
  expect(page.url()).toBe(at('/vms/first'))
  // Its terminal opens by itself; that would interrupt a sleep that had begun before.
  await vi.waitFor(async () => expect((await screen(page)).join()).toContain('dev@first'), patience)
  await page.goBack()
  await page.waitForSelector('h1:has-text("The box")')
  await openPalette(page)
  await page.keyboard.type('sleep fi')
  await page.keyboard.press('Enter')
  await page.waitForSelector('.edge >> text=first')
  await page.goForward()
  await page.waitForSelector('.heading >> text=asleep')
  await openPalette(page)
  await page.keyboard.press('Escape')
  await page.waitForSelector('dialog', { state: 'detached' })
  await croft.do('wake', 'first')
})

test('usage of a VM and the box is drawn, and given in words', async () => {
  const page = await signedIn()
  const memory = () => page.textContent('.charts figure:has(h3:has-text("Memory")) figcaption')
  for (const path of ['/', '/vms/first/charts']) {
    await page.goto(at(path))
    await page.waitForSelector('.chart canvas')
    await vi.waitFor(async () => expect(await memory()).toMatch(/^now .+B, mean .+B, peak .+B at \d\d:\d\d$/), patience)
    await page.click('label:has-text("Month")')
    await vi.waitFor(async () => expect(await memory()).toMatch(/peak .+B at \w+,? \d+ \w+,? \d\d:00$/), patience)
    await page.emulateMedia({ colorScheme: 'dark' })
    await page.hover('.chart')
    await page.emulateMedia({ colorScheme: 'light' })
    expect(await page.locator('.chart').count()).toBe(await page.locator('.chart canvas').count())
  }
  await page.goto(at('/'))
  // Drawn immediately from the recorded history, across the whole width.
  const line = page.locator('.meters .line path').first()
  await vi.waitFor(async () => expect(await line.getAttribute('d')).toMatch(/^M0\.0 .*(L.*){3}L150\.0 /), patience)
  const shared = page.locator('section[aria-label="How it is shared"]')
  await vi.waitFor(
    async () => expect(await shared.textContent()).toMatch(/enough for all.*CPU [\d.]+ %, memory/s),
    patience,
  )
  expect(complaints).toEqual([])
})

test('times read as on the command line, with the exact time on hover', async () => {
  const page = await signedIn()
  await page.goto(at('/activity'))
  const when = await page.waitForSelector('td time')
  expect(await when.textContent()).toMatch(/^(just now|\d+ min ago)$/)
  const exactly = /^\d{1,2} \w{3,4} \d{4}, \d\d:\d\d$/
  expect(await when.getAttribute('title')).toMatch(exactly)
  await page.goto(at('/images'))
  const built = await page.textContent('td time')
  const [, row] = (await croft.do('image', 'ls')).split('\n')
  expect(row!.endsWith(built!)).toBe(true)
  await page.goto(at('/vms/first/settings'))
  expect(await page.textContent('.facts div:has(dt:text-is("made")) dd')).toMatch(/ago|now, .*\d{4}/)
})

test('a phone gets a short head, no hover bar or keyboard hints, keys for the terminal, and addresses in the list', async () => {
  const page = await signedIn({ viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true })
  await page.goto(at('/vms'))
  const row = page.locator('.vms tr:has-text("first")')
  await row.locator('.web a').waitFor()
  expect(await row.locator('.public').isVisible()).toBe(true)
  expect(await page.locator('footer').isVisible()).toBe(false)
  expect(await page.locator('kbd').isVisible()).toBe(false)
  await row.locator('a.name').tap()
  await page.waitForSelector('.screen')
  const top = async (selector: string) => (await page.locator(selector).first().boundingBox())!.y
  expect(await top('.screen')).toBeLessThan(260)
  expect(await top('body > nav')).toBeGreaterThan(780)
  expect(await page.locator('.terminals kbd').isVisible()).toBe(false)
  expect(await page.locator('.keys button').allTextContents()).toEqual(['Esc', 'Tab', 'Ctrl', '←', '↑', '↓', '→'])
  await vi.waitFor(async () => expect((await screen(page)).join()).toContain('dev@first'), patience)
  await page.locator('.screen').tap()
  await page.keyboard.type('clear; echo ready; cat -v\n')
  // Until then the shell keeps the terminal in a mode of its own.
  await shows(page, 'ready')
  await page.keyboard.type('a')
  for (const key of ['Esc', '↑']) await page.locator(`.keys >> text=${key}`).tap()
  await page.keyboard.type('b\n')
  await shows(page, 'a^[^[[Ab')
  await page.locator('.keys >> text=Ctrl').tap()
  expect(await page.getAttribute('.keys >> text=Ctrl', 'aria-pressed')).toBe('true')
  await page.keyboard.type('c')
  await page.keyboard.type('echo over $?\n')
  await shows(page, 'over 130')
  expect(await page.getAttribute('.keys >> text=Ctrl', 'aria-pressed')).toBe('false')
  expect(await objections(page)).toEqual([])
  // While the keyboard is open, the terminal and its keys fit into the rest.
  await page.setViewportSize({ width: 390, height: 480 })
  await page.waitForSelector('body > nav', { state: 'hidden' })
  const lowest = async () => {
    const { y, height } = (await page.locator('.keys').boundingBox())!
    return y + height
  }
  await vi.waitFor(async () => expect(await lowest()).toBeLessThanOrEqual(480), patience)
  await page.setViewportSize({ width: 390, height: 844 })
  await page.waitForSelector('body > nav')
  // The bar still shows running actions.
  await page.locator('.heading >> text=Checkpoint').tap()
  await page.waitForSelector('footer >> text=has a new checkpoint')
  expect(await page.locator('footer').isVisible()).toBe(true)
  expect(complaints).toEqual([])
})

test('a VM that has crashed says when and why, and can be started again by itself', async () => {
  await croft.do('new', 'fallen')
  process.kill(await qemuPid(await croft.ask('show', { vm: 'fallen' })), 'SIGKILL')
  const page = await signedIn()
  await page.goto(at('/vms/fallen'))
  const crash = page.locator('.crash')
  await crash.locator('text=Its QEMU ended').waitFor()
  expect(await crash.textContent()).toMatch(/^It crashed (just now|\d+ s ago)/)
  expect(await objections(page)).toEqual([])
  await crash.locator('button').click()
  await crash.locator('button').waitFor({ state: 'detached' })
  expect((await croft.ask('show', { vm: 'fallen' })).restart).toBe('on-crash')
  await page.click('text=Start')
  await crash.waitFor({ state: 'detached' })
  await croft.do('rm', 'fallen', '--yes')
  expect(complaints).toEqual([])
})

/** Returns axe's complaints about the page as it is, in short. */
async function objections(page: Page): Promise<string[]> {
  await page.evaluate(await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8'))
  return page.evaluate(async () => {
    const { axe } = globalThis as unknown as {
      axe: { run(): Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> }
    }
    return (await axe.run()).violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`)
  })
}

describe('each view', () => {
  const views = [
    '/',
    '/vms',
    '/vms/first',
    '/vms/first/ports',
    '/vms/first/charts',
    '/vms/first/checkpoints',
    '/vms/first/log',
    '/vms/first/activity',
    '/vms/first/settings',
    '/activity',
    '/new',
    '/images',
    '/settings/keys',
    '/settings/tokens',
    '/settings/links',
    '/settings/sign-ins',
    '/settings/domains',
    '/vms/nobody',
    '/foo',
  ]

  /** The folder with screenshots of all views after a run. */
  const pictures = join(import.meta.dirname, '../.cache/console')

  test.each(sample(['light', 'dark'] as const, 'light'))(
    'pleases axe and fits each screen, in the %s',
    async (colorScheme) => {
      const page = await signedIn({ colorScheme, reducedMotion: 'reduce' })
      for (const path of views) {
        await page.goto(at(path))
        await page.waitForSelector('h1')
        await page.waitForSelector('text=Asking', { state: 'detached' })
        expect([path, await objections(page)]).toEqual([path, []])
        for (const width of [1600, 1024, 390]) {
          await page.setViewportSize({ width, height: 900 })
          const over = await page.evaluate('document.documentElement.scrollWidth - innerWidth')
          expect([path, width, over]).toEqual([path, width, 0])
          const name = path.slice(1).replaceAll('/', '-') || 'box'
          await page.screenshot({ path: join(pictures, `${name}-${width}-${colorScheme}.png`) })
        }
      }
      await page.goto(at('/vms/first/settings'))
      await page.waitForSelector('h1')
      await openPalette(page)
      await page.keyboard.type('fir')
      expect(['palette', await objections(page)]).toEqual(['palette', []])
      await page.keyboard.press('Escape')
      for (const opens of ['Copy…', 'Delete']) {
        await page.click(`.heading >> text=${opens}`)
        await page.waitForSelector('dialog[open]')
        expect([opens, await objections(page)]).toEqual([opens, []])
        await page.keyboard.press('Escape')
        await page.waitForSelector('dialog', { state: 'detached' })
      }
    },
  )

  test('comes in little, under strict rules, and says what it is', async () => {
    const page = await signedIn()
    let script = 0
    page.on('response', async (response) => {
      if (response.url().endsWith('.js')) script += Number((await response.allHeaders())['content-length'])
    })
    const answer = await page.goto(at('/vms'))
    const rules = (await answer!.allHeaders())['content-security-policy']!
    expect(rules).toMatch(/^default-src 'none'; script-src 'self'; /)
    expect(rules).not.toMatch(/unsafe|data:|https?:|\*/)
    await page.waitForSelector('tr')
    await vi.waitFor(() => expect(script).toBeGreaterThan(1_000), patience)
    expect(script).toBeLessThan(120_000)
  })
})
