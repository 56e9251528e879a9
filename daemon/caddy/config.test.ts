import { join } from 'node:path'
import { expect, test } from 'vitest'
import { caddyConfig } from './config.ts'

test('the configuration is what it was: a change of it is meant', async () => {
  const config = caddyConfig({
    admin: '/run/croft/caddy.sock',
    gate: '/run/croft/gate.sock',
    domain: 'localhost',
    http: 80,
  })
  await expect(`${JSON.stringify(config, null, 2)}\n`).toMatchFileSnapshot(
    join(import.meta.dirname, 'golden/localhost.golden'),
  )
})
