import { type Context, Hono } from 'hono'
import { stream } from 'hono/streaming'
import type { z } from 'zod'
import { hostKeyOf } from '../../adapters/guest/index.ts'
import { hasEnded } from '../../adapters/guest/ssh.ts'
import type { Terminals } from '../../adapters/guest/terminals.ts'
import { croftFrom } from '../../commands/kit/as-typed.ts'
import { audited } from '../../commands/kit/audit.ts'
import { checkScope } from '../../commands/kit/scope.ts'
import type { AppContext } from '../../commands/kit/serve.ts'
import { vmOfHost } from '../../core/access/login.ts'
import { keyHolder } from '../../core/access/principal.ts'
import { imageOf, stateOf } from '../../core/box.ts'
import type { NumberedEvent } from '../../core/events.ts'
import { ensureAwake } from '../../core/sleep/wake.ts'
import { CroftError } from '../../lib/error.ts'
import { readLines } from '../../lib/text/ndjson.ts'
import type { Key, State } from '../../store/index.ts'
import {
  connectingClient,
  type EnterAnswer,
  enterQuestion,
  type FromDaemon,
  fromGateway,
  keyQuestion,
} from '../ssh/messages.ts'
import { makeHttp } from './app.ts'
import type { Authenticated } from './listener.ts'
import { problemOf } from './problem.ts'

/**
 * Makes the API for the SSH gateway: the commands of its clients, whose key it names in each request, and the questions
 * of the gateway itself (ssh/messages.ts).
 */
export function gatewaySite(app: AppContext, version: string, terminals: Terminals): Hono {
  const { box, host } = app
  const site = new Hono()
  site.onError((error, c) => {
    const problem = problemOf(error, { box, reached: c.req.header('x-croft-reached') })
    return c.json(problem, problem.status as 500, { 'Content-Type': 'application/problem+json' })
  })
  const authenticate = (c: Context) => authenticateKey(box.store.state, c)

  site.post('/api/ssh/key', async (c) => {
    const { fingerprint, authority } = await bodyOf(c, keyQuestion)
    return c.body(null, mayCome(box.store.state, fingerprint)?.authority === authority ? 204 : 404)
  })

  site.post('/api/ssh/enter', async (c) => {
    const { actor, reached } = authenticate(c)
    const wanted = await bodyOf(c, enterQuestion)
    const { state } = box.store
    const name = vmOfHost(wanted.vm, state.web.domain)
    const ssh = app.commands.find((each) => each.name === 'ssh')!
    const open = async (): Promise<EnterAnswer> => {
      checkScope(actor.by.scope, ssh, { vm: name }, state)
      const vm = await ensureAwake(box, name)
      const user = wanted.user ?? imageOf(box.store.state, vm).user
      const hostKey = await hostKeyOf(host.folder, vm)
      return { id: vm.id, name: vm.name, address: vm.ip, user, hostKey, croft: croftFrom(box, reached) }
    }
    return c.json(await (wanted.noted ? open() : audited(box, actor, ssh, { vm: name }, open)))
  })

  site.post('/api/ssh/link', (c) => {
    const body = c.req.raw.body
    if (!body) throw new CroftError('misuse', 'The link has no request body.')
    return stream(c, async (out) => {
      const over = new AbortController()
      const send = (message: FromDaemon) => void out.write(`${JSON.stringify(message)}\n`).catch(() => over.abort())
      let sessions: ReadonlyMap<string, number> = new Map()
      let keys: readonly string[] = []
      let asleep: ReadonlySet<string> = new Set()
      const look = () => {
        const { state } = box.store
        const sleeping = new Set<string>()
        for (const id of sessions.keys()) {
          if (hasEnded(box, id)) send({ ended: id })
          else if (stateOf(box, state.vms[id]!) === 'asleep') sleeping.add(id)
        }
        for (const id of sleeping) if (!asleep.has(id)) send({ asleep: id })
        asleep = sleeping
        for (const key of keys) if (!mayCome(state, key)) send({ out: key })
      }
      const unwatch = box.live.watch(look)
      const unfollow = box.events.listen(({ type }: NumberedEvent) => {
        if (['key.removed', 'key.changed', 'vm.removed', 'vm.changed'].includes(type)) look()
      })
      out.onAbort(() => over.abort())
      try {
        for await (const value of readLines(body, over.signal)) {
          const said = fromGateway.safeParse(value)
          if (!said.success) continue
          sessions = new Map(Object.entries(said.data.sessions))
          keys = said.data.keys
          box.usage.attend(sessions)
          look()
        }
      } finally {
        unwatch()
        unfollow()
        box.usage.attend(new Map())
      }
    })
  })

  const api = makeHttp(app, version, { local: false, authenticate }, terminals)
  site.all('/api/*', (c) => api.fetch(c.req.raw, c.env))
  return site
}

/** Returns the key if it has access: itself, or through its certificates if it is the key of a CA. */
function mayCome(state: State, fingerprint: string): Key | undefined {
  const key = state.keys[fingerprint]
  return key && (key.vm === null || key.vm in state.vms) ? key : undefined
}

function authenticateKey(state: State, c: Context): Authenticated {
  const said = connectingClient.safeParse({
    fingerprint: c.req.header('x-croft-key'),
    as: decodeURIComponent(c.req.header('x-croft-as') ?? ''),
    address: c.req.header('x-croft-from'),
    reached: c.req.header('x-croft-reached'),
  })
  const key = said.success ? mayCome(state, said.data.fingerprint) : undefined
  if (!said.success || !key) throw new CroftError('not-allowed', 'This key has no access, or has lost it.')
  const { as, address, reached } = said.data
  return {
    reached,
    actor: { by: keyHolder(key, as), from: { way: 'ssh', address, agent: null } },
  }
}

async function bodyOf<T extends z.ZodType>(c: Context, schema: T): Promise<z.output<T>> {
  const body = schema.safeParse(await c.req.json().catch(() => undefined))
  if (!body.success) throw new CroftError('misuse', 'The body is not a message of the gateway.')
  return body.data
}
