import { isDeepStrictEqual } from 'node:util'
import type { Logger } from 'pino'
import type { Caddy } from './client.ts'
import type { CaddyConfig } from './config.ts'

/** Has Caddy run this configuration, if it runs another: it was started anew, or somebody changed it by hand. */
export async function configure(caddy: Caddy, config: CaddyConfig, log: Logger): Promise<void> {
  if (isDeepStrictEqual(await caddy.config(), config)) return
  await caddy.load(config)
  log.info('gave Caddy its configuration')
}
