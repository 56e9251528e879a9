import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { runProgram } from '../../lib/process/run.ts'
import { type CaddySettings, caddyConfig, startConfig } from './config.ts'
import { caddyVersion, isOlder, parseVersion } from './version.ts'

const settings: CaddySettings = {
  admin: '/run/croft-caddy/admin.sock',
  gate: '/run/croft/gate.sock',
  passes: '/run/croft/passes',
  domain: 'localhost',
  http: 80,
  https: 443,
  tls: { mode: 'off' },
  root: undefined,
  permission: 'http://127.0.0.1:7070/api/certificate',
  old: true,
}
const acme = { mode: 'acme', directory: null, root: null, email: null } as const
const cases: [string, CaddySettings][] = [
  ['localhost', settings],
  ['internal', { ...settings, domain: 'box.lan', http: 8080, https: 8443, tls: { mode: 'internal' } }],
  ['acme', { ...settings, domain: 'box.example.com', tls: acme, old: false }],
  [
    'acme-of-ones-own',
    {
      ...settings,
      domain: 'box.example.com',
      root: '/var/lib/croft/acme-root-0123456789ab.pem',
      tls: { ...acme, directory: 'https://ca.example/acme/directory', root: 'PEM', email: 'me@example.com' },
    },
  ],
]

describe.each(cases)('the configuration for %s', (name, of) => {
  test('is as recorded, so that no change goes unnoticed', async () => {
    await expect(`${JSON.stringify(caddyConfig(of), null, 2)}\n`).toMatchFileSnapshot(
      join(import.meta.dirname, `golden/${name}.golden`),
    )
  })

  test('is valid for the Caddy on this computer', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'croft-caddy-'))
    try {
      const root = join(import.meta.dirname, 'fixtures/root.pem')
      const path = join(folder, 'caddy.json')
      const old = isOlder(await caddyVersion(), [2, 8])
      await writeFile(path, JSON.stringify(caddyConfig({ ...of, old, root: of.root && root })))
      await runProgram('caddy', ['validate', '--config', path], {
        env: { PATH: process.env.PATH, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder },
      })
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  })
})

test('the box starts Caddy with its admin API alone', async () => {
  const packaged = await readFile(join(import.meta.dirname, '../../../packaging/caddy.json'), 'utf8')
  expect(JSON.parse(packaged)).toEqual(startConfig(settings.admin))
})

test('versions are read and compared', () => {
  expect(parseVersion('v2.10.2 h1:abc=\n')).toEqual([2, 10, 2])
  expect(parseVersion('2.6.2')).toEqual([2, 6, 2])
  expect(parseVersion('unknown')).toBeUndefined()
  expect(isOlder([2, 6, 2], [2, 8])).toBe(true)
  expect(isOlder([2, 10, 2], [2, 8])).toBe(false)
  expect(isOlder(undefined, [2, 8])).toBe(false)
})
