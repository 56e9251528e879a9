import { asCroftError, errorCodes } from '../error.ts'

/** RFC 9457 problem details. `code` is stable, for programs; `detail` and `hint` are for people. */
export interface Problem {
  type: string
  title: string
  status: number
  code: string
  detail: string
  hint?: string
  exit: number
}

/** Any error as a problem. What is not ours never shows its message: it may be anything. */
export function problemOf(thrown: unknown): Problem {
  const error = asCroftError(thrown)
  const { status, exit } = errorCodes[error.code]
  return {
    type: `urn:croft:error:${error.code}`,
    title: error.code.replaceAll('-', ' '),
    status,
    code: error.code,
    detail: error.message,
    ...(error.hint && { hint: error.hint }),
    exit,
  }
}
