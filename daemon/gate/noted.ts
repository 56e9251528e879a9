import type { By, Note } from '../activity/index.ts'
import type { Visitor } from './decide.ts'

/** What the activity log says of those who come by the web. */

export const stranger: By = { kind: 'stranger', name: '', id: null }

export const noSuchLink = {
  result: 'refused',
  code: 'not-allowed',
  says: 'The link was none of ours, used, or over.',
} as const satisfies Partial<Note>

export const tooOften = { ...noSuchLink, says: 'It was tried too often from this address.' } as const

/** Pure. @param id of his session, link or token */
export const byOf = ({ user, name, id }: Visitor): By => (user === '' ? stranger : { kind: user, name, id })
