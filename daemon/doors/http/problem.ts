import { asTyped, croftFrom } from '../../commands/kit/as-typed.ts'
import type { Box } from '../../core/box.ts'
import { asCroftError, errorCodes } from '../../lib/error.ts'

/** RFC 9457 problem details. `code` is stable, for programs; `detail` and `hint` are for people. */
export interface Problem {
  type: string
  title: string
  status: number
  code: string
  detail: string
  hint?: string
  /** The command's argument at fault. */
  argument?: string
  exit: number
}

/**
 * Converts any error into a problem. The message of an unexpected error is not shown: it may contain anything.
 * @param seen for an SSH client: its hints name commands in the form typed there
 */
export function problemOf(thrown: unknown, seen?: { box: Box; reached: string | undefined }): Problem {
  const error = asCroftError(thrown)
  const hint = error.hint && seen ? asTyped(error.hint, croftFrom(seen.box, seen.reached)) : error.hint
  const { status, exit } = errorCodes[error.code]
  return {
    type: `urn:croft:error:${error.code}`,
    title: error.code.replaceAll('-', ' '),
    status,
    code: error.code,
    detail: error.message,
    ...(hint && { hint }),
    ...(error.argument !== undefined && { argument: error.argument }),
    exit,
  }
}
