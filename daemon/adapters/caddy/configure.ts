import { isDeepStrictEqual } from 'node:util'
import type { Logger } from 'pino'
import { Semaphore } from '../../lib/async/locks.ts'
import type { Caddy } from './client.ts'
import type { CaddyConfig } from './config.ts'

/** Makes sure that Caddy runs our configuration and no other. */
export class CaddyKeeper {
  readonly #caddy: Caddy
  readonly #config: () => Promise<CaddyConfig>
  readonly #end: () => Promise<boolean>
  readonly #log: Logger
  readonly #turn = new Semaphore(1)

  /**
   * @param config returns the configuration that Caddy should run now
   * @param end ends a Caddy whose admin API is not where it should be (it has no configuration, or somebody else's), so
   * that it is restarted; returns whether one ran
   */
  constructor(caddy: Caddy, config: () => Promise<CaddyConfig>, end: () => Promise<boolean>, log: Logger) {
    this.#caddy = caddy
    this.#config = config
    this.#end = end
    this.#log = log
  }

  /** Loads our configuration if Caddy runs another one, because it was restarted or somebody changed it by hand. */
  keep(): Promise<void> {
    return this.#turn.run(async () => {
      const config = await this.#config()
      if (isDeepStrictEqual(await this.#running(), config)) return
      await this.#caddy.load(config)
      this.#log.info('gave Caddy its configuration')
    })
  }

  async #running(): Promise<unknown> {
    try {
      return await this.#caddy.config()
    } catch (error) {
      if (isGone(error) && (await this.#end())) this.#log.warn('Caddy had lost its admin API; it is being restarted')
      throw error
    }
  }

  /**
   * Changes the configuration. If Caddy refuses the new one, nothing changes.
   * @param make makes the new configuration @param commit makes `config` return it from now on
   */
  change(make: () => Promise<CaddyConfig>, commit: () => Promise<void>): Promise<void> {
    return this.#turn.run(async () => {
      await this.#caddy.load(await make())
      await commit()
    })
  }
}

/** Whether nobody listens on Caddy's socket; a Caddy that is only slow does. */
function isGone(error: unknown): boolean {
  const cause = error instanceof Error ? (error.cause as NodeJS.ErrnoException | undefined) : undefined
  return cause?.code === 'ENOENT' || cause?.code === 'ECONNREFUSED'
}
