import { isDeepStrictEqual } from 'node:util'
import type { Logger } from 'pino'
import { Semaphore } from '../box/sync.ts'
import type { Caddy } from './client.ts'
import type { CaddyConfig } from './config.ts'

/** Sees to it that Caddy runs our configuration and no other. */
export class CaddyKeeper {
  readonly #caddy: Caddy
  readonly #config: () => Promise<CaddyConfig>
  readonly #log: Logger
  readonly #turn = new Semaphore(1)

  /** @param config what it is to run now */
  constructor(caddy: Caddy, config: () => Promise<CaddyConfig>, log: Logger) {
    this.#caddy = caddy
    this.#config = config
    this.#log = log
  }

  /** Gives Caddy its configuration, if it runs another: it was started anew, or somebody changed it by hand. */
  keep(): Promise<void> {
    return this.#turn.run(async () => {
      const config = await this.#config()
      if (isDeepStrictEqual(await this.#caddy.config(), config)) return
      await this.#caddy.load(config)
      this.#log.info('gave Caddy its configuration')
    })
  }

  /**
   * Changes what it is to run: when Caddy refuses it, nothing has changed.
   * @param make makes the new one @param commit makes `config` be that from now on
   */
  change(make: () => Promise<CaddyConfig>, commit: () => Promise<void>): Promise<void> {
    return this.#turn.run(async () => {
      await this.#caddy.load(await make())
      await commit()
    })
  }
}
