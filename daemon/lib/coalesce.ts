import type { Logger } from 'pino'

/**
 * Makes of `work` something that can be asked for at any time and as often as one likes: one run at a time, and one more
 * after it for all who asked meanwhile. A run that fails is logged, and tried again after `retryMs`.
 */
export function coalesce(what: string, retryMs: number, log: Logger, work: () => Promise<void>): () => void {
  let running = false
  let again = false
  const ask = () => {
    if (running) {
      again = true
      return
    }
    running = true
    again = false
    work()
      .catch((err) => {
        log.error({ err }, `could not ${what}; tried again`)
        setTimeout(ask, retryMs).unref()
      })
      .finally(() => {
        running = false
        if (again) ask()
      })
  }
  return ask
}
