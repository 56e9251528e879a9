import type { Logger } from 'pino'

/**
 * Does something now and then every `ms` milliseconds, never twice at once: while it is under way, its next time passes.
 * A failure is logged when it is the first after a time that went well.
 * @returns how to end that
 */
export function every(ms: number, what: string, log: Logger, work: () => Promise<void>): () => void {
  let under = false
  let failing = false
  const run = async () => {
    if (under) return
    under = true
    try {
      await work()
      failing = false
    } catch (err) {
      if (!failing) log.error({ err }, `could not ${what}; tried again`)
      failing = true
    } finally {
      under = false
    }
  }
  void run()
  const timer = setInterval(run, ms).unref()
  return () => clearInterval(timer)
}
