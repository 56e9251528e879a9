import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { TestCaddy } from '../lib/caddy.ts'
import { Consoles } from '../lib/console.ts'
import { type Croft, httpPort, startCroft } from '../lib/croft.ts'
import { servePython } from '../lib/guest-server.ts'
import { program } from '../lib/program.ts'

/** Access, as the console shows and changes it: through Caddy, at the box's own address. */
let caddy: TestCaddy
let croft: Croft
const consoles = new Consoles(() => croft)
beforeAll(async () => {
  caddy = await TestCaddy.start()
  croft = await startCroft({ image: 'bare', config: { web: caddy.web } })
  await croft.do('new', 'shop')
  await servePython(croft, 'shop', server, 8000)
}, 600_000)
afterAll(async () => {
  await consoles[Symbol.asyncDispose]()
  await croft?.[Symbol.asyncDispose]()
  await caddy?.[Symbol.asyncDispose]()
})

const at = (path: string) => `http://croft.localhost:${httpPort}${path}`
const patience = { timeout: 60_000, interval: 100 }
const shop = `http://shop.localhost:${httpPort}/`

const server = `
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Hello(BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"<h1>the shop</h1>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
ThreadingHTTPServer(("0.0.0.0", 8000), Hello).serve_forever()
`

const status = async (url: string, ...more: string[]) =>
  (await program('curl', ['-s', '-o', '/dev/null', '-w', '%{http_code}', ...more, url])).stdout

test('the owner signs in at the box’s address, opens a terminal there and a VM’s address from there', async () => {
  const page = await consoles.signedIn({}, 'link')
  expect(page.url()).toBe(at('/'))
  await page.goto(at('/vms/shop'))
  const screen = async () => (await page.locator('.xterm-rows > div').allTextContents()).join('\n')
  await vi.waitFor(async () => expect(await screen()).toContain('dev@shop'), patience)
  await page.keyboard.type('echo through "$(echo caddy)"\n')
  await vi.waitFor(async () => expect(await screen()).toContain('through caddy'), patience)
  expect(consoles.complaints).toEqual([])
  const [opened] = await Promise.all([page.context().waitForEvent('page'), page.click('.addresses a')])
  await opened.waitForSelector('h1:has-text("the shop")')
  // Ending the session in the list of sign-ins signs the browser out at both addresses immediately.
  await page.goto(at('/settings/sign-ins'))
  await page.click('td >> text=Sign out')
  await page.waitForSelector('header >> text=signed out')
  await opened.reload()
  expect(await opened.textContent('h1')).toBe('Your access has ended')
})

test('a share link lets somebody into one address, until it is revoked', async () => {
  const page = await consoles.signedIn({}, 'link')
  await page.goto(at('/vms/shop/ports'))
  await page.fill('#whom', 'Ann')
  await page.selectOption('#link-expires', '1d')
  await page.hover('text=Make a link')
  expect(await page.textContent('footer code')).toBe('$ croft share link shop --name Ann --expires 1d')
  await page.click('text=Make a link')
  const link = (await page.textContent('.secret code'))!
  const ann = await (await consoles.browsers.open()).newPage()
  await ann.goto(link)
  if ((await ann.locator('button').count()) > 0) await ann.click('button')
  await ann.waitForSelector('h1:has-text("the shop")')
  await ann.goto(at('/'))
  expect(await ann.textContent('h1')).toBe('Sign in')

  await page.goto(at('/settings/links'))
  await page.click('tr:has-text("Ann") >> text=Revoke')
  await page.waitForSelector('text=No share links')
  await ann.goto(shop)
  expect(await ann.textContent('h1')).not.toBe('the shop')
})

test('a token is shown once, works, and works no more when it is revoked', async () => {
  const page = await consoles.signedIn({}, 'link')
  await page.goto(at('/settings/tokens'))
  await page.fill('#token-name', 'backup')
  await page.selectOption('#token-vm', 'shop')
  await page.fill('#token-commands', 'web')
  await page.keyboard.press('Enter')
  const secret = (await page.textContent('.secret code'))!
  expect(await status(shop, '-H', `Authorization: Bearer ${secret}`)).toBe('200')
  await page.reload()
  await page.waitForSelector('tr:has-text("backup")')
  expect(await page.content()).not.toContain(secret)
  await page.click('tr:has-text("backup") >> text=Revoke')
  await page.waitForSelector('text=No tokens')
  expect(await status(shop, '-H', `Authorization: Bearer ${secret}`)).not.toBe('200')
})

test('a key is added and removed, and an invalid one is refused at its field', async () => {
  const page = await consoles.signedIn({}, 'link')
  await page.goto(at('/settings/keys'))
  await page.fill('#key', 'not a key')
  await page.click('text=Add key')
  await page.waitForSelector('#key-problem')
  const key = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKt8YzHYJ3Y1Jx0y5v5cY8qk2vQJp3QyCxk9hIY3mXl5 ada@laptop'
  await page.fill('#key', key)
  await page.selectOption('#key-vm', 'shop')
  const line = async () => {
    await page.hover('h1')
    await page.hover('text=Add key')
    return page.textContent('footer code')
  }
  expect(await line()).toBe('$ croft key add file --vm shop')
  await page.click('text=Add key')
  await page.waitForSelector('tr:has-text("ada@laptop") >> td:has-text("shop")')
  await page.fill('#key', 'gh:ada')
  await page.fill('#key-tag', 'ci')
  expect(await line()).toBe('$ croft key add gh:ada --tag ci')
  await page.selectOption('#key-old', { label: 'ada@laptop' })
  await page.fill('#key-new', 'ada')
  await page.click('main >> button:has-text("Rename")')
  await page.waitForSelector('tr:has(b:text-is("ada"))')
  await page.click('tr:has(b:text-is("ada")) >> text=Remove')
  expect(await page.textContent('dialog')).toMatch(/will no longer be let in/)
  await page.click('dialog >> button:text-is("Remove")')
  await page.waitForSelector('text=No keys yet')
})

test('a VM gets a custom name, and loses it', async () => {
  const page = await consoles.signedIn({}, 'link')
  await page.goto(at('/settings/domains'))
  await page.fill('#host', 'shop.box.test')
  await page.selectOption('#host-vm', 'shop')
  await page.click('text=Add the name')
  await page.waitForSelector('tr:has-text("shop.box.test")')
  await page.click('text=Check that everything leads here')
  await page.waitForSelector('ul.checks')
  await page.click('text=Remove')
  await page.waitForSelector('tr:has-text("shop.box.test")', { state: 'detached' })
  expect(JSON.parse(await croft.do('domain', 'ls', '--json')).hosts).toEqual([])
})

test('a VM’s settings change everything that can be changed', async () => {
  const page = await consoles.signedIn({}, 'link')
  await page.goto(at('/vms/shop/settings'))
  await page.fill('#comment', 'sells things')
  await page.keyboard.press('Enter')
  await page.fill('#tags', 'live eu')
  await page.keyboard.press('Enter')
  await page.waitForSelector('.tags >> text=#live')
  await page.click('[aria-label="Remove the tag eu"]')
  await page.selectOption('#sleep', '30')
  await page.click('button:text-is("Set")')
  await page.waitForSelector('text=It sleeps after 30 min without use.')
  await page.fill('#rename', 'Shop')
  await page.keyboard.press('Enter')
  await page.waitForSelector('#rename-problem:has-text("can\'t be the name of a VM")')
  await page.fill('#memory', '2G')
  await page.keyboard.press('Enter')
  await page.waitForSelector('footer >> text=the limits are set')
  await page.selectOption('#priority', 'low')
  await page.fill('#cpu-limit', '150%')
  await page.click('text=Change its share')
  await page.waitForSelector('text=at most 150 % of a CPU')
  await page.waitForSelector('#cpu-limit[placeholder="150 %"]')
  await page.waitForSelector('#disk-limit[placeholder^="none"]')
  await vi.waitFor(async () => {
    const [vm] = JSON.parse(await croft.do('ls', '--json')).vms
    expect(vm).toMatchObject({
      comment: 'sells things',
      tags: ['live'],
      memoryMiB: 2048,
      priority: 'low',
      cpuLimitPercent: 150,
    })
  }, patience)
})
