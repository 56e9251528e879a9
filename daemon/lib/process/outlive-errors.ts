import type { Logger } from 'pino'

/**
 * Keeps this process alive when an error is not caught: the error fails only the work that it belongs to. Each one is a
 * bug to be fixed, and is logged.
 */
export function outliveErrors(log: Logger): void {
  for (const event of ['uncaughtException', 'unhandledRejection'] as const)
    process.on(event, (err: unknown) => log.error({ err }, unforeseen))
}

/** The log message for each of these errors. */
export const unforeseen = 'something failed in an unexpected way; the rest goes on'
