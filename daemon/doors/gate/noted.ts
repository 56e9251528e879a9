import type { By, Note } from '../../activity/index.ts'

/**
 * Who comes. `user` is empty when that is not known; `name` is that of a guest, who was given a link with it, or of a
 * token; `id` that of the session, the link or the token.
 */
export interface Visitor {
  user: 'owner' | 'guest' | 'token' | ''
  name: string
  id: string | null
}

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
