import { z } from 'zod'
import { ago, until } from '../../lib/text/units.ts'
import { command } from '../kit/command.ts'
import { table } from '../kit/text.ts'
import { describeToken, type TokenResult, tokenResult } from './token.ts'

export const tokenLsCommand = command({
  name: 'token ls',
  summary: 'List tokens',
  examples: ['croft token ls'],
  args: z.object({}),
  result: z.object({ tokens: z.array(tokenResult) }),
  touches: 'reads',
  run: async ({ box, host }) => ({
    tokens: host.web.tokens().map((token) => describeToken(box.store.state, token)),
  }),
  names: ({ tokens }) => tokens.map(({ id }) => id),
  print({ tokens }, view) {
    if (tokens.length === 0) return `No tokens. Make one: ${view.croft} token new\n`
    return table<TokenResult>(
      tokens,
      [
        { title: 'TOKEN', value: ({ id }) => id },
        { title: 'FOR', value: ({ name }) => name },
        { title: 'VM', value: ({ vm }) => vm ?? 'all' },
        { title: 'MAY', value: ({ commands }) => commands?.join(', ') ?? 'everything' },
        { title: 'MADE', value: ({ createdAt }) => ago(createdAt, view.now) },
        { title: 'ENDS', value: ({ expiresAt }) => (expiresAt === null ? 'never' : until(expiresAt, view.now)) },
      ],
      view,
    )
  },
})
