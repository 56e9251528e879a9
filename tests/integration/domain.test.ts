import { afterAll, beforeAll, expect, test } from 'vitest'
import { TestCaddy } from '../lib/caddy.ts'
import { type Croft, httpPort, httpsPort, startCroft } from '../lib/croft.ts'
import { program } from '../lib/program.ts'

/** The box under a name of its own, by HTTPS: a real Caddy with its own CA, and curl. */
let caddy: TestCaddy
let croft: Croft
beforeAll(async () => {
  caddy = await TestCaddy.start()
  croft = await startCroft({ image: false, config: { web: caddy.web } })
  await croft.do('domain', 'set', 'box.test', '--tls', 'internal')
})
afterAll(async () => {
  await croft?.[Symbol.asyncDispose]()
  await caddy?.[Symbol.asyncDispose]()
})

const curl = (url: string, ...args: string[]) => {
  const here = [httpPort, httpsPort].flatMap((port) => ['--resolve', `*:${port}:127.0.0.1`])
  return program('curl', ['-sS', '-k', '-i', '-m', '20', ...here, ...args, url])
}
const secure = (label: string, path = '/') => `https://${label}.box.test:${httpsPort}${path}`

test('a certificate is had for the box’s own address when somebody comes, and HTTP/2 with it', async () => {
  const { stdout } = await curl(secure('croft'))
  expect(stdout).toMatch(/^HTTP\/2 401/)
  expect(stdout).toMatch(/^alt-svc: h3=/m)
})

test('for names that are nobody’s there is none', async () => {
  for (const url of [secure('nobody'), secure('nobody-80'), `https://evil.example:${httpsPort}/`])
    expect((await curl(url)).code).toBe(35)
})

test('HTTP leads to HTTPS', async () => {
  const { stdout } = await curl(`http://croft.box.test:${httpPort}/x?y`)
  expect(stdout).toMatch(/^HTTP\/1.1 308/)
  expect(stdout).toContain(`Location: ${secure('croft', '/x?y')}`)
})

test('signing in sets a cookie that no other host can set or see', async () => {
  const [link] = (await croft.do('login')).split('\n')
  expect(link).toMatch(new RegExp(`^${secure('croft', '/login')}`))
  const origin = ['-H', `Origin: ${secure('croft').slice(0, -1)}`]
  const { stdout } = await curl(secure('croft', '/login'), ...origin, '-d', `code=${link!.split('=')[1]}`)
  expect(stdout).toMatch(/^set-cookie: __Host-croft_session=\S+; Path=\/; HttpOnly; SameSite=Lax; Max-Age=\d+; Secure/m)
})

test('domain check says what is wrong', async () => {
  const { code, stdout } = await croft.run(['domain', 'check'])
  expect(code).toBe(1)
  expect(stdout).toMatch(/✗ DNS of croft\.box\.test +has no address/)
  expect(stdout).toMatch(/! certificate of croft\.box\.test +issued by Croft/)
})

test('an impossible setting is refused and changes nothing', async () => {
  for (const [args, code] of [
    [['domain', 'set', 'not a name'], 2],
    [['domain', 'set', '192.0.2.1'], 2],
    [['domain', 'set', 'localhost', '--tls', 'acme'], 2],
    [['domain', 'set', 'box.example.com', '--tls', 'off', '--email', 'me@example.com'], 2],
    [['domain', 'add', 'shop.example.com', 'nobody'], 3],
    [['domain', 'rm', 'shop.example.com'], 3],
  ] as const)
    expect((await croft.run(args)).code, args.join(' ')).toBe(code)
  expect(await croft.do('domain', 'ls')).toBe(
    `VMs are at https://<vm>.box.test:${httpsPort}/ (certificates by the box's own CA)\n`,
  )
})

test('the box goes back to localhost as it came', async () => {
  await croft.do('domain', 'set', 'localhost')
  expect((await curl(`http://croft.localhost:${httpPort}/`)).stdout).toMatch(/^HTTP\/1.1 401/)
  await croft.do('domain', 'set', 'box.test', '--tls', 'internal')
})
