import { chmod, chown, mkdir, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { dirname } from 'node:path'
import { getRequestListener } from '@hono/node-server'
import { askHeader, nameHeader, sessionCookie, upstreamHeader, userHeader, verdictHeader } from '../caddy/config.ts'
import { decide, explain, type Gate, type Verdict, type Visit } from './decide.ts'
import { documentOf } from './pages.ts'
import { clientOf, headersOf, makeSite, sessionCookieFor } from './site.ts'

export { findMainPort, type Gate, linkPath } from './decide.ts'
export { Links } from './links.ts'
export { Sessions } from './sessions.ts'
export { Tries } from './tries.ts'

/**
 * Opens the socket at which Caddy asks about each request, and where Croft's own address is served. Only Caddy gets
 * there: what its configuration sets and takes away (`X-Croft-…`) is trusted.
 * @param gid the group that may use the socket @returns a function that closes it
 */
export async function openGate(gate: Gate, socket: string, gid: number): Promise<() => Promise<void>> {
  const site = getRequestListener(makeSite(gate).fetch)
  const server = createServer((request, response) => {
    const asked = request.headers[askHeader.toLowerCase()]
    if (asked === undefined) return void site(request, response)
    // A request that failed has no session any more: it has been made ready for the VM.
    const user = String(request.headers[userHeader.toLowerCase()] ?? '')
    const deciding = asked === 'failed' ? explain(gate, visitOf(request), user) : decide(gate, visitOf(request))
    deciding.then(
      (verdict) => answer(response, verdict),
      (err) => {
        gate.box.log.error({ err, host: request.headers.host }, 'a request could not be decided')
        response.writeHead(500).end()
      },
    )
  })
  server.keepAliveTimeout = 60_000
  await mkdir(dirname(socket), { recursive: true, mode: 0o755 })
  await rm(socket, { force: true })
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen({ path: socket }, resolve))
  await chmod(socket, 0o660)
  await chown(socket, 0, gid)
  return () =>
    new Promise((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    })
}

function visitOf({ headers, url = '/' }: IncomingMessage): Visit {
  return {
    host: headers.host ?? '',
    uri: url.startsWith('/') ? url : '/',
    page: headers['x-forwarded-method'] === 'GET' && (headers.accept ?? '').includes('text/html'),
    token: tokenIn(headers.cookie),
    from: clientOf(String(headers['x-forwarded-for'] ?? '')),
  }
}

/** The session's token among a request's cookies. Pure. */
export function tokenIn(cookies = ''): string | undefined {
  const found = cookies
    .split(';')
    .map((each) => each.trim())
    .find((each) => each.startsWith(`${sessionCookie}=`))
  return found?.slice(sessionCookie.length + 1)
}

function answer(response: ServerResponse, verdict: Verdict): void {
  switch (verdict.kind) {
    case 'pass':
      response.writeHead(204, {
        [verdictHeader]: 'pass',
        [upstreamHeader]: verdict.upstream,
        [userHeader]: verdict.visitor.user,
        [nameHeader]: encodeURIComponent(verdict.visitor.name),
      })
      response.end()
      break
    case 'redirect':
      response.writeHead(303, {
        Location: verdict.to,
        'Cache-Control': 'no-store',
        'Referrer-Policy': 'no-referrer',
        ...(verdict.cookie && { 'Set-Cookie': sessionCookieFor(verdict.cookie) }),
      })
      response.end()
      break
    case 'page': {
      const { page } = verdict
      response.writeHead(page.status, headersOf(page))
      response.end(documentOf(page))
    }
  }
}
