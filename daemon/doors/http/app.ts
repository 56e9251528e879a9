import { type Context, Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { stream } from 'hono/streaming'
import type { Terminals } from '../../adapters/guest/terminals.ts'
import { checkScope, isLimited } from '../../commands/kit/scope.ts'
import { type AppContext, serveCall } from '../../commands/kit/serve.ts'
import type { Report } from '../../core/box.ts'
import { CroftError } from '../../lib/error.ts'
import { eventsRoute } from './events.ts'
import { execText } from './exec.ts'
import { execSocket } from './exec-socket.ts'
import { expose, expositionType } from './exposition.ts'
import type { HttpEnv, Listener } from './listener.ts'
import { readMetrics } from './metrics.ts'
import { openApi } from './openapi.ts'
import { problemOf } from './problem.ts'
import { terminalRoutes } from './terminals.ts'

/** The default path of Prometheus. */
export const metricsPath = '/metrics'

const largestBody = 1024 * 1024

/** Makes the API for one listener. */
export function makeHttp(app: AppContext, version: string, listener: Listener, terminals: Terminals): Hono<HttpEnv> {
  const http = new Hono<HttpEnv>()

  http.onError((error, c) => {
    const problem = problemOf(error)
    if (problem.code === 'internal')
      app.box.log.error({ err: error, path: c.req.path }, 'a request failed in an unexpected way')
    return c.json(problem, problem.status as 500, { 'Content-Type': 'application/problem+json' })
  })
  http.notFound((c) => {
    const problem = problemOf(
      new CroftError('not-found', `There is nothing at ${c.req.path.slice(0, 100)}.`, {
        hint: 'GET /api/openapi.json describes the API.',
      }),
    )
    return c.json(problem, 404, { 'Content-Type': 'application/problem+json' })
  })

  http.use(async (c, next) => {
    await next()
    c.header('X-Content-Type-Options', 'nosniff')
    c.header('Cache-Control', 'no-store')
  })
  /** Authenticates a long-lived request again: the session may have ended, or the token may have been revoked. */
  const isStillIn = (c: Context): boolean => {
    try {
      listener.authenticate(c)
      return true
    } catch {
      return false
    }
  }
  http.use(async (c, next) => {
    const { actor, reached } = listener.authenticate(c)
    c.set('actor', actor)
    c.set('reached', reached)
    await next()
  })

  const limited = bodyLimit({
    maxSize: largestBody,
    onError: () => {
      throw new CroftError('too-large', 'The body is larger than 1 MiB.', {
        hint: 'Send large data through croft exec, on its standard input.',
      })
    },
  })

  http.get('/api/health', (c) => c.json({ ok: true, libvirt: app.box.hypervisor.trouble() ?? 'fine' }))
  http.get('/api/openapi.json', (c) => c.json(openApi(app.commands, version)))
  // The metrics tell what `stat` tells about the whole box, so they need the same scope.
  const stat = app.commands.find(({ name }) => name === 'stat')!
  http.get(metricsPath, async (c) => {
    checkScope(c.var.actor.by.scope, stat, {}, app.box.store.state)
    return c.body(expose(await readMetrics(app, version)), 200, { 'Content-Type': expositionType })
  })
  http.get('/api/events', (c) => {
    if (isLimited(c.var.actor.by.scope))
      throw new CroftError('not-allowed', 'Your access does not include events, which cover the whole box.')
    return eventsRoute(app, c, () => isStillIn(c))
  })
  terminalRoutes(http, app, terminals, isStillIn)
  http.get(
    '/api/exec',
    async (c, next) => {
      if (c.req.header('upgrade')?.toLowerCase() !== 'websocket')
        throw new CroftError('misuse', 'A conversation is a WebSocket.', { hint: 'POST takes a command line as text.' })
      return next()
    },
    execSocket(app, listener.local),
  )
  http.post('/api/exec', limited, (c) => execText(app, c))

  http.post('/api/commands/:name', limited, async (c) => {
    const body = await readJson(await c.req.text())
    const name = c.req.param('name')
    const { signal } = c.req.raw
    const { actor } = c.var
    if (!(c.req.header('accept') ?? '').includes('application/x-ndjson')) {
      return c.json((await serveCall(app, name, body, { report: () => {}, signal, actor })) as object)
    }
    c.header('Content-Type', 'application/x-ndjson')
    return stream(c, async (out) => {
      const send = (value: object) => out.write(`${JSON.stringify(value)}\n`)
      const report: Report = (progress) => void send({ progress })
      await serveCall(app, name, body, { report, signal, actor }).then(
        (result) => send({ result }),
        (error) => send({ problem: problemOf(error) }),
      )
    })
  })
  return http
}

/** Maximum nesting of a body. Arguments are flat; the limit protects recursive code. */
const deepest = 32

/** Returns how deeply the arrays and objects of a JSON text are nested. Pure. */
export function depthOf(json: string): number {
  let depth = 0
  let most = 0
  for (const [each] of json.matchAll(/"(?:[^"\\]|\\.)*"|[[\]{}]/gs)) {
    if (each === '[' || each === '{') most = Math.max(most, ++depth)
    else if (each === ']' || each === '}') depth--
  }
  return most
}

async function readJson(text: string): Promise<Record<string, unknown>> {
  if (text.trim() === '') return {}
  if (depthOf(text) > deepest)
    throw new CroftError('misuse', `The body nests arrays and objects more than ${deepest} deep.`)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new CroftError('misuse', 'The body is not JSON.', {
      hint: 'Send an object with the arguments, such as {"name":"web"}.',
    })
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  throw new CroftError('misuse', 'The body is not a JSON object.', {
    hint: 'Send an object with the arguments, such as {"name":"web"}.',
  })
}
