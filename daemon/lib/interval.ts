import type { Logger } from 'pino'

/**
 * Does something now and then every `ms` milliseconds, never twice at once: while it is under way, its next time passes.
 * A failure is logged when it is the first after a time that went well.
 * @param phase has it be done whenever the clock is a multiple of `ms`, and so much, for what is counted by the clock
 * @returns how to end that
 */
export function repeat(ms: number, what: string, log: Logger, work: () => Promise<void>, phase?: number): () => void {
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
  let timer: NodeJS.Timeout
  const wait = () => {
    const left = phase === undefined ? ms : ms - ((Date.now() - phase) % ms)
    timer = setTimeout(
      () => {
        wait()
        void run()
      },
      left < ms / 2 ? left + ms : left, // it may come a moment early
    ).unref()
  }
  void run()
  wait()
  return () => clearTimeout(timer)
}
