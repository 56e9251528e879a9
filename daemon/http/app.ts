import { createHash, timingSafeEqual } from 'node:crypto'
import { Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { stream } from 'hono/streaming'
import { type App, serveCall } from '../commands/serve.ts'
import { CroftError } from '../error.ts'
import { eventsRoute } from './events.ts'
import { execRoute } from './exec.ts'
import { openApi } from './openapi.ts'
import { problemOf } from './problem.ts'

export interface Door {
  /** `socket`: file permissions decide who comes in. `tcp`: a token does, and only from pages of our own. */
  kind: 'socket' | 'tcp'
  token?: string
  /** Host header values that are ours, such as `localhost:7070`. */
  hosts?: readonly string[]
}

const largestBody = 1024 * 1024

/** The API, for one of its doors. */
export function makeHttp(app: App, version: string, door: Door): Hono {
  const http = new Hono()

  http.onError((error, c) => {
    const problem = problemOf(error)
    if (problem.code === 'internal')
      app.box.log.error({ err: error, path: c.req.path }, 'a request failed in an unexpected way')
    return c.json(problem, problem.status as 500, { 'Content-Type': 'application/problem+json' })
  })
  http.notFound((c) => {
    const problem = problemOf(
      new CroftError('not-found', `There is nothing at ${c.req.path.slice(0, 100)}.`, {
        hint: 'GET /api/openapi.json says what there is.',
      }),
    )
    return c.json(problem, 404, { 'Content-Type': 'application/problem+json' })
  })

  http.use(async (c, next) => {
    await next()
    c.header('X-Content-Type-Options', 'nosniff')
    c.header('Cache-Control', 'no-store')
  })
  if (door.kind === 'tcp') http.use((c, next) => guard(door, c.req.header.bind(c.req), next))

  const limited = bodyLimit({
    maxSize: largestBody,
    onError: () => {
      throw new CroftError('too-large', 'That is more than 1 MiB.', {
        hint: 'Send large data through croft exec, on its standard input.',
      })
    },
  })

  http.get('/api/health', (c) => c.json({ ok: true, libvirt: app.box.hypervisor.trouble() ?? 'fine' }))
  http.get('/api/openapi.json', (c) => c.json(openApi(app.commands, version)))
  http.get('/api/events', (c) => eventsRoute(app, c))
  http.post('/api/exec', async (c, next) => {
    // A conversation may be long; its lines are limited instead.
    if ((c.req.header('content-type') ?? '').startsWith('application/x-ndjson'))
      return execRoute(app, c, door.kind === 'socket')
    return limited(c, next)
  })
  http.post('/api/exec', (c) => execRoute(app, c, door.kind === 'socket'))

  http.post('/api/commands/:name', limited, async (c) => {
    const body = await readJson(await c.req.text())
    const name = c.req.param('name')
    const signal = c.req.raw.signal
    if (!(c.req.header('accept') ?? '').includes('application/x-ndjson')) {
      return c.json((await serveCall(app, name, body, { report: () => {}, signal })) as object)
    }
    c.header('Content-Type', 'application/x-ndjson')
    return stream(c, async (out) => {
      const send = (value: object) => out.write(`${JSON.stringify(value)}\n`)
      await serveCall(app, name, body, { report: (progress) => void send({ progress }), signal }).then(
        (result) => send({ result }),
        (error) => send({ problem: problemOf(error) }),
      )
    })
  })
  return http
}

async function readJson(text: string): Promise<Record<string, unknown>> {
  if (text.trim() === '') return {}
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

/**
 * Who may come in by TCP: only with our own Host (a page elsewhere may point a name of its own at this machine: DNS
 * rebinding), only from our own Origin (another page's script), and only with the token.
 */
async function guard(
  door: Door,
  header: (name: string) => string | undefined,
  next: () => Promise<void>,
): Promise<void> {
  const hosts = door.hosts ?? []
  const host = header('host') ?? ''
  if (!hosts.includes(host)) {
    throw new CroftError('not-allowed', `This is not ${JSON.stringify(host.slice(0, 100))}.`, {
      hint: `It answers as ${hosts.join(', ')}.`,
    })
  }
  const origin = header('origin')
  if (origin !== undefined && !hosts.some((each) => origin === `http://${each}`)) {
    throw new CroftError('not-allowed', 'Pages from elsewhere can not use this.')
  }
  const [scheme, token] = (header('authorization') ?? '').split(' ')
  if (scheme?.toLowerCase() !== 'bearer' || !token || !door.token || !equal(token, door.token)) {
    throw new CroftError('not-allowed', 'This needs the token.', {
      hint: 'Send "Authorization: Bearer …", with the content of /var/lib/croft/token.',
    })
  }
  await next()
}

function equal(a: string, b: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(a), digest(b))
}
