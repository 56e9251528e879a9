import type { Note } from '../../activity/index.ts'

/** What the activity log says of those who come by the web and are turned away. */

export const noSuchLink = {
  result: 'refused',
  code: 'not-allowed',
  says: 'The link was unknown, used or expired.',
} as const satisfies Partial<Note>

export const tooOften = { ...noSuchLink, says: 'Too many attempts came from this address.' } as const
