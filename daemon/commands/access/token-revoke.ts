import { z } from 'zod'
import { without } from '../../core/box.ts'
import { CroftError } from '../../lib/error.ts'
import { command } from '../kit/command.ts'
import { describeToken, tokenResult } from './token.ts'

export const tokenRevokeCommand = command({
  name: 'token revoke',
  summary: 'Revoke a token',
  details: 'Its open connections are closed within a second.',
  examples: ['croft token revoke tok_4tq2x7h6ma'],
  args: z.object({
    token: z.string().min(1).max(64).describe("The token's id, from token ls").meta({ placeholder: 'token' }),
  }),
  positional: ['token'],
  result: tokenResult,
  touches: 'changes',
  async run({ box }, { token: id }) {
    const token = box.store.state.tokens[id]
    if (!token)
      throw new CroftError('not-found', `No token called ${JSON.stringify(id)}.`, {
        hint: 'croft token ls shows them.',
      })
    await box.store.update((state) => ({ ...state, tokens: without(state.tokens, id) }))
    return describeToken(box.store.state, token)
  },
  print: ({ id, name }) => `${id}${name && `, for ${name},`} no longer works.\n`,
})
