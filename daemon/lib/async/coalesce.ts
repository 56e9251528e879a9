import type { Logger } from 'pino'

/**
 * Returns a function that requests a run of `work`, and may be called at any time and any number of times. Runs never
 * overlap: all calls during a run result in one more run after it. A run that fails is logged and retried after
 * `retryMs`.
 * @param what the work, for the log, worded to follow "could not"
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
