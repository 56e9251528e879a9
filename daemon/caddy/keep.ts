import { isDeepStrictEqual } from 'node:util'
import type { Logger } from 'pino'
import type { Caddy } from './client.ts'
import type { CaddyConfig } from './config.ts'

const lookMs = 2_000

/**
 * Has Caddy run this configuration, now and whenever it is found to run another: it was started anew, or somebody
 * changed it by hand.
 * @returns stops it
 */
export function keepCaddy(caddy: Caddy, config: CaddyConfig, log: Logger): () => void {
  let stopped = false
  let timer: NodeJS.Timeout | undefined
  let failing = false
  const look = async () => {
    try {
      if (!isDeepStrictEqual(await caddy.config(), config)) {
        await caddy.load(config)
        log.info('gave Caddy its configuration')
      }
      failing = false
    } catch (err) {
      if (!failing) log.warn({ err }, 'Caddy does not have its configuration; tried again')
      failing = true
    }
    if (!stopped) timer = setTimeout(look, lookMs).unref()
  }
  void look()
  return () => {
    stopped = true
    clearTimeout(timer)
  }
}
