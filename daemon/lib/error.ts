/** The closed list of error codes, with each one's HTTP status and command-line exit code. */
export const errorCodes = {
  misuse: { status: 400, exit: 2 },
  'bad-name': { status: 422, exit: 2 },
  'bad-value': { status: 422, exit: 2 },
  'too-large': { status: 413, exit: 2 },
  'not-allowed': { status: 403, exit: 4 },
  'not-found': { status: 404, exit: 3 },
  'name-taken': { status: 409, exit: 1 },
  conflict: { status: 409, exit: 1 },
  'needs-confirmation': { status: 409, exit: 1 },
  'memory-unusable': { status: 409, exit: 1 },
  'disk-full': { status: 507, exit: 1 },
  'no-room': { status: 503, exit: 1 },
  'guest-failed': { status: 502, exit: 1 },
  'program-failed': { status: 500, exit: 1 },
  'timed-out': { status: 504, exit: 1 },
  cancelled: { status: 499, exit: 1 },
  unavailable: { status: 503, exit: 5 },
  'state-damaged': { status: 500, exit: 5 },
  internal: { status: 500, exit: 1 },
} as const

export type ErrorCode = keyof typeof errorCodes

/**
 * The only error type. `message` is a plain sentence: what did not happen and why. `hint` says what to do next.
 * Everything a person sees of a failure comes from these two; `cause` and `details` are for logs and programs.
 */
export class CroftError extends Error {
  readonly code: ErrorCode
  readonly hint: string | undefined
  /** The command's argument that is wrong: a form shows the error at that field. */
  readonly argument: string | undefined
  readonly details: Readonly<Record<string, unknown>>

  constructor(
    code: ErrorCode,
    message: string,
    options: {
      hint?: string | undefined
      argument?: string | undefined
      cause?: unknown
      details?: Record<string, unknown>
    } = {},
  ) {
    super(message, options.cause === undefined ? {} : { cause: options.cause })
    this.name = 'CroftError'
    this.code = code
    this.hint = options.hint
    this.argument = options.argument
    this.details = options.details ?? {}
  }
}

/**
 * Converts any thrown value to a CroftError. Anything else is a bug in Croft: `internal`, with the cause kept for the
 * log.
 */
export function asCroftError(error: unknown): CroftError {
  if (error instanceof CroftError) return error
  if (isNoSpace(error)) return diskFull({ cause: error })
  return new CroftError('internal', 'Croft failed in a way it did not expect.', {
    hint: 'The log of the daemon has the details: journalctl -u croft',
    cause: error,
  })
}

/** Why something failed, in the words of the failed component: for logs and for administrators. */
export function reasonOf(error: unknown): string {
  if (error instanceof CroftError && typeof error.details.reason === 'string') return error.details.reason
  return error instanceof Error ? error.message : String(error)
}

/** Makes the error for a full disk of the box. */
export function diskFull(options: { cause?: unknown; details?: Record<string, unknown> } = {}): CroftError {
  const hint = 'Free some space (croft doctor shows how much there is), then try again.'
  return new CroftError('disk-full', 'The disk of the box is full.', { hint, ...options })
}

export function isNoSpace(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT')
}

/** Whether an error says nothing about the memory that was being loaded: trouble of the box, and unexpected errors. */
export function isBoxTrouble(error: unknown): boolean {
  if (!(error instanceof CroftError)) return true
  return (
    ['unavailable', 'disk-full', 'timed-out', 'cancelled'].includes(error.code) ||
    /allocate memory/i.test(reasonOf(error))
  )
}
