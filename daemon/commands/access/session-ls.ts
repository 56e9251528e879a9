import { z } from 'zod'
import type { SignIn } from '../../core/interfaces/web.ts'
import { plainLine } from '../../lib/text/plain-text.ts'
import { ago, until } from '../../lib/text/units.ts'
import { command } from '../kit/command.ts'
import { table } from '../kit/text.ts'

export const sessionResult = z.object({
  id: z.string(),
  /** The address where it signed in. */
  host: z.string(),
  /** The browser's User-Agent, and the address that it came from. */
  agent: z.string(),
  from: z.string(),
  /** The addresses that it has opened since then. */
  hosts: z.array(z.string()),
  createdAt: z.string(),
  expiresAt: z.string(),
})

export type SessionResult = z.infer<typeof sessionResult>

export const describeSignIn = ({ id, host, agent, from, hosts, createdAt, expiresAt }: SignIn) => ({
  id,
  host,
  agent,
  from,
  hosts: hosts.filter((each) => each !== host).toSorted(),
  createdAt,
  expiresAt,
})

export const sessionLsCommand = command({
  name: 'session ls',
  summary: 'List who is signed in',
  examples: ['croft session ls'],
  args: z.object({}),
  result: z.object({ sessions: z.array(sessionResult) }),
  touches: 'reads',
  run: async ({ host }) => ({ sessions: host.web.signIns().map(describeSignIn) }),
  names: ({ sessions }) => sessions.map(({ id }) => id),
  print({ sessions }, view) {
    if (sessions.length === 0) return `Nobody is signed in. Get a sign-in link: ${view.croft} login\n`
    return table(
      sessions,
      [
        { title: 'SESSION', value: ({ id }) => id },
        { title: 'SINCE', value: ({ createdAt }) => ago(createdAt, view.now) },
        { title: 'ENDS', value: ({ expiresAt }) => until(expiresAt, view.now) },
        { title: 'FROM', value: ({ from }) => from },
        { title: 'HAS OPENED', value: ({ hosts }) => String(hosts.length), right: true },
        { title: 'BROWSER', value: ({ agent }) => plainLine(agent) },
      ],
      view,
    )
  },
})
