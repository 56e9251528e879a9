import type { Note } from '../../activity/index.ts'

/** Outcomes in the activity log for web clients that are refused. */

export const noSuchLink = {
  result: 'refused',
  code: 'not-allowed',
  says: 'The link was unknown, used or expired.',
} as const satisfies Partial<Note>

export const tooOften = { ...noSuchLink, says: 'Too many attempts came from this address.' } as const
