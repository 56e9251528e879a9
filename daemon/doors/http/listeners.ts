import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { chmod, chown, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import type { Server } from 'node:http'
import { dirname, join } from 'node:path'
import { type Context, Hono } from 'hono'
import type { Terminals } from '../../adapters/guest/terminals.ts'
import type { AppContext } from '../../commands/kit/serve.ts'
import type { Config } from '../../config.ts'
import { boxToken, boxUser, ownerBy, tokenHolder } from '../../core/access/principal.ts'
import { CroftError } from '../../lib/error.ts'
import { groupId } from '../../lib/process/accounts.ts'
import { makeWebServer, mostWaiting } from '../../lib/process/web-server.ts'
import {
  type Certificates,
  clientOf,
  type Gate,
  hostOf,
  isFrom,
  makeSite,
  nothingHereResponse,
  type SiteOrigin,
  sessionAt,
  tokenOf,
} from '../gate/index.ts'
import { makeHttp, metricsPath } from './app.ts'
import { type ConsoleFiles, consoleRoutes, notFoundIn } from './console.ts'
import type { Authenticated } from './listener.ts'
import { problemOf } from './problem.ts'
import { gatewaySite } from './ssh.ts'

export interface ListenerParts {
  app: AppContext
  version: string
  config: Config
  gate: Gate
  certificates: Certificates
  terminals: Terminals
  console: ConsoleFiles
}

export interface Listeners {
  /** The site at the box's own web address, for the gate to serve. */
  site: Hono
  /** Closes all listeners in parallel. */
  close(): Promise<void>
}

/**
 * Opens the listeners of the API: a unix socket for root and the group `croft`, a loopback port for tokens and
 * signed-in browsers, and a unix socket for the SSH gateway. The gate opens the remaining one, the box's own web
 * address.
 */
export async function openListeners(parts: ListenerParts): Promise<Listeners> {
  const { app, version, config, gate, terminals } = parts
  const gid = await groupId('croft')
  const token = await readToken(join(config.folder, 'token'), gid)
  const bySocket = makeWebServer(makeHttp(app, version, { local: true, authenticate: () => onTheBox }, terminals))
  const byTcp = makeWebServer(localSite(parts, token))
  const byGateway = makeWebServer(gatewaySite(app, version, terminals))
  const all = [bySocket, byTcp, byGateway]
  for (const { server } of all) {
    server.requestTimeout = 0 // a conversation may last for hours
    server.headersTimeout = 10_000
  }
  await listenFor(bySocket.server, config.socket, gid)
  if (config.ssh) await listenFor(byGateway.server, config.ssh.socket, await groupId(config.ssh.user))
  await listen(byTcp.server, { host: '127.0.0.1', port: config.port }, `127.0.0.1:${config.port}`)
  const siteOrigin = (): SiteOrigin => {
    const front = gate.front()
    return {
      host: hostOf(front, 'croft'),
      secure: front.secure,
      client: (c) => clientOf(c.req.header('x-forwarded-for')),
    }
  }
  return {
    site: siteWithApi(parts, ['/api/*'], siteOrigin, (c) => authenticate(gate, siteOrigin(), c)),
    async close() {
      await Promise.all(all.map((each) => each.close()))
    },
  }
}

function siteWithApi(
  parts: ListenerParts,
  paths: string[],
  siteOrigin: () => SiteOrigin,
  may: (c: Context) => Authenticated,
): Hono {
  const { app, version, gate, terminals } = parts
  const site = new Hono()
  const api = makeHttp(app, version, { local: false, authenticate: may }, terminals)
  for (const path of paths) site.all(path, (c) => api.fetch(c.req.raw, c.env))
  const isSignedIn = (c: Context) => sessionAt(gate, siteOrigin(), c) !== undefined
  consoleRoutes(site, parts.console, isSignedIn)
  site.route('/', makeSite(gate, siteOrigin))
  site.all('*', (c) => (isSignedIn(c) && notFoundIn(parts.console, c)) || nothingHereResponse())
  return site
}

/** Makes the site on loopback. It accepts only local host names: a foreign name may point here (DNS rebinding). */
function localSite(parts: ListenerParts, boxToken: string): Hono {
  const { config, gate, certificates } = parts
  const hosts = ['localhost', '127.0.0.1', '[::1]'].map((host) => `${host}:${config.port}`)
  const siteOrigin: SiteOrigin = { host: 'localhost', secure: false, client: () => '127.0.0.1' }
  const site = new Hono()
  site.use(async (c, next) => {
    const host = c.req.header('host') ?? ''
    if (hosts.includes(host)) return next()
    const problem = problemOf(
      new CroftError('not-allowed', `This server is not ${JSON.stringify(host.slice(0, 100))}.`, {
        hint: `It answers to ${hosts.join(', ')}.`,
      }),
    )
    return c.json(problem, 403, { 'Content-Type': 'application/problem+json' })
  })
  // Caddy asks here before it gets a certificate for a name.
  site.get('/api/certificate', async (c) =>
    (await certificates.allows(c.req.query('domain') ?? '')) ? c.body(null, 200) : c.body(null, 404),
  )
  const may = (c: Context): Authenticated => {
    const origin = c.req.header('origin')
    if (origin !== undefined && !hosts.some((each) => origin === `http://${each}`))
      throw new CroftError('not-allowed', "Pages from other origins can't use this API.")
    const [scheme, given] = (c.req.header('authorization') ?? '').split(' ')
    if (scheme?.toLowerCase() === 'bearer' && given && equal(given, boxToken)) return byBoxToken
    return authenticate(gate, siteOrigin, c)
  }
  site.route(
    '/',
    siteWithApi(parts, ['/api/*', metricsPath], () => siteOrigin, may),
  )
  return site
}

/** Anyone who can open the socket; `exec` also learns their uid. */
const onTheBox: Authenticated = {
  actor: { by: boxUser('', null), from: { way: 'box', address: null, agent: null } },
}

const byBoxToken: Authenticated = {
  actor: {
    by: boxToken,
    from: { way: 'api', address: '127.0.0.1', agent: null },
  },
}

/** Authenticates by a token, or by a session at this address if the request comes from a page of it. */
function authenticate(gate: Gate, siteOrigin: SiteOrigin, c: Context): Authenticated {
  const from = { address: siteOrigin.client(c), agent: c.req.header('user-agent') ?? null }
  const token = tokenOf(gate, c.req.header('authorization'))
  if (token) return { actor: { by: tokenHolder(token), from: { way: 'api', ...from } } }
  const ownPage = c.req.header('origin') === undefined ? ['GET', 'HEAD'].includes(c.req.method) : isFrom(siteOrigin, c)
  const session = ownPage ? sessionAt(gate, siteOrigin, c) : undefined
  if (session) return { actor: { by: ownerBy(session.signIn), from: { way: 'console', ...from } } }
  throw new CroftError('not-allowed', 'This needs a token or a signed-in browser.', {
    hint: 'Send "Authorization: Bearer …" with a token: croft token new',
  })
}

/** Listens on a unix socket for root and one group. */
async function listenFor(server: Server, path: string, gid: number): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o755 })
  await rm(path, { force: true }) // the store's lock guarantees that no other daemon uses it
  await listen(server, { path }, path)
  await chmod(path, 0o660)
  await chown(path, 0, gid)
}

function listen(server: Server, where: { path: string } | { host: string; port: number }, name: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause) =>
      reject(
        new CroftError('unavailable', `Croft can't listen on ${name}: ${cause.message}.`, {
          hint: 'If something else uses it, choose another with "port" or "socket" in the configuration.',
          cause,
        }),
      ),
    )
    server.listen({ ...where, backlog: mostWaiting }, resolve)
  })
}

function equal(a: string, b: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(a), digest(b))
}

/** Reads the token of the box itself, created once and readable by root and the group. */
async function readToken(path: string, gid: number): Promise<string> {
  const known = await readFile(path, 'utf8').catch(() => '')
  if (known.trim()) return known.trim()
  const token = `croft_${randomBytes(24).toString('base64url')}`
  await writeFile(path, `${token}\n`, { mode: 0o640 })
  await chown(path, 0, gid)
  return token
}
