import { isDeepStrictEqual } from 'node:util'
import type { Logger } from 'pino'
import { Semaphore } from '../../lib/locks.ts'
import type { Caddy } from './client.ts'
import type { CaddyConfig } from './config.ts'

/** Sees to it that Caddy runs our configuration and no other. */
export class CaddyKeeper {
  readonly #caddy: Caddy
  readonly #config: () => Promise<CaddyConfig>
  readonly #end: () => Promise<boolean>
  readonly #log: Logger
  readonly #turn = new Semaphore(1)

  /**
   * @param config what it is to run now @param end has Caddy started anew, when its admin API is not where it should be:
   * without a configuration, or with somebody's, that is elsewhere; returns whether one ran
   */
  constructor(caddy: Caddy, config: () => Promise<CaddyConfig>, end: () => Promise<boolean>, log: Logger) {
    this.#caddy = caddy
    this.#config = config
    this.#end = end
    this.#log = log
  }

  /** Gives Caddy its configuration, if it runs another: it was started anew, or somebody changed it by hand. */
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
      if (isGone(error) && (await this.#end())) this.#log.warn('Caddy had lost its admin API; it is started anew')
      throw error
    }
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

/** Nobody listens at its socket, unlike one who is only slow. */
function isGone(error: unknown): boolean {
  const cause = error instanceof Error ? (error.cause as NodeJS.ErrnoException | undefined) : undefined
  return cause?.code === 'ENOENT' || cause?.code === 'ECONNREFUSED'
}
