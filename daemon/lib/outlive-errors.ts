import type { Logger } from 'pino'

/**
 * Has this process outlive what nobody foresaw: an error that nobody caught fails what it was about, and not all else that
 * the process does. Each is a fault to be mended, and says so in the log.
 */
export function outliveErrors(log: Logger): void {
  for (const event of ['uncaughtException', 'unhandledRejection'] as const)
    process.on(event, (err: unknown) => log.error({ err }, unforeseen))
}

/** What the log says of each. */
export const unforeseen = 'something failed in an unexpected way; the rest goes on'
