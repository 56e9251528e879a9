import type { Logger } from 'pino'

/**
 * Runs `work` now and then every `ms` milliseconds. Runs never overlap: a tick during a run is skipped. Of consecutive
 * failures only the first is logged.
 * @param what completes "could not …" in the log
 * @param phase aligns the runs to the time of day: they begin whenever it is a multiple of `ms`, plus `phase`
 * milliseconds
 * @returns stops it
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
      if (!failing) log.error({ err }, `could not ${what}; retried`)
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
      left < ms / 2 ? left + ms : left, // a timer may fire a moment early
    ).unref()
  }
  void run()
  wait()
  return () => clearTimeout(timer)
}
