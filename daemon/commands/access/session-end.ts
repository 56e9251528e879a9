import { z } from 'zod'
import { CroftError } from '../../lib/error.ts'
import { command } from '../kit/command.ts'
import { describeSignIn, sessionResult } from './session-ls.ts'

export const sessionEndCommand = command({
  name: 'session end',
  summary: 'Sign out one browser, or all of them',
  details: 'Its open connections are closed too. Without a session, everybody is signed out.',
  examples: ['croft session end ses_4tq2x7h6ma', 'croft session end'],
  args: z.object({
    session: z
      .string()
      .min(1)
      .max(64)
      .optional()
      .describe("The session's id, from session ls (default: all)")
      .meta({ placeholder: 'session' }),
  }),
  positional: ['session'],
  result: z.object({ ended: z.array(sessionResult) }),
  touches: 'changes',
  async run({ host }, { session: id }) {
    const all = host.web.signIns()
    const ended = id === undefined ? all : all.filter((each) => each.id === id)
    if (id === undefined) await host.web.endAllSignIns()
    else if (ended.length) await host.web.endSignIn(id)
    else
      throw new CroftError('not-found', `No session called ${JSON.stringify(id)}.`, {
        hint: 'croft session ls shows them.',
      })
    return { ended: ended.map(describeSignIn) }
  },
  print: ({ ended }) =>
    ended.length === 1 ? `${ended[0]!.id} is signed out.\n` : `${ended.length || 'No'} sessions are signed out.\n`,
})
