import { chmod, chown, mkdir, rm } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { dirname } from 'node:path'
import type { Hono } from 'hono'
import { parse } from 'hono/utils/cookie'
import {
  askHeader,
  nameHeader,
  peerHeader,
  sessionCookie,
  tokenPattern,
  upstreamHeader,
  userHeader,
  verdictHeader,
} from '../../adapters/caddy/config.ts'
import type { Principal } from '../../core/access/principal.ts'
import { makeWebServer, mostWaiting } from '../../lib/process/web-server.ts'
import { type AuthRequest, authorize, explain, type Gate, type Verdict } from './authorize.ts'
import { documentOf, textOf } from './pages.ts'
import { clientOf, headersOf, sessionCookieFor } from './site.ts'
import { secretIn } from './tokens.ts'

export { FailureLimiter } from '../../lib/failure-limiter.ts'
export type { Gate } from './authorize.ts'
export { Certificates } from './certificates.ts'
export { OpenConnections } from './connections.ts'
export { GrantCache } from './grants.ts'
export { GuestPorts } from './guest-ports.ts'
export { keepLifetimes } from './lifetimes.ts'
export { Links } from './links.ts'
export { enforceRevocations } from './revocation.ts'
export { hostOf, originOf, publicOriginOf } from './routing.ts'
export { Sessions } from './sessions.ts'
export {
  clientOf,
  isFrom,
  makeSite,
  nothingHereResponse,
  type SiteOrigin,
  sessionAt,
  signInPage,
} from './site.ts'
export { Tokens, tokenOf } from './tokens.ts'
export { addressOf, makeWeb } from './web.ts'

/**
 * Opens the socket at which Caddy asks about each request, and which serves Croft's own address. Only Caddy can
 * connect, so headers that its configuration sets or removes (`X-Croft-…`) are trusted.
 * @param site serves Croft's own address @param gid the group that can use the socket
 * @returns a function that closes the socket
 */
export async function openGate(gate: Gate, site: Hono, socket: string, gid: number): Promise<() => Promise<void>> {
  // Caddy has already accepted the headers, so the limit is higher than Node's default.
  const { server, close } = makeWebServer(site, { maxHeaderSize: 2 ** 21 }, (request, response) => {
    const asked = request.headers[askHeader.toLowerCase()]
    if (asked === undefined) return false
    settle(gate, request, response, asked === 'failed').catch((err) => {
      gate.box.log.error({ err, host: request.headers.host }, 'a request could not be decided')
      if (response.headersSent) response.destroy()
      else response.writeHead(500).end()
    })
    return true
  })
  server.keepAliveTimeout = 60_000
  await mkdir(dirname(socket), { recursive: true, mode: 0o755 })
  await gate.grants.open(gid)
  await rm(socket, { force: true })
  await new Promise<void>((resolve, reject) =>
    server.once('error', reject).listen({ path: socket, backlog: mostWaiting }, resolve),
  )
  await chmod(socket, 0o660)
  await chown(socket, 0, gid)
  return async () => {
    // After this, nothing would revoke the passes.
    await gate.grants.close()
    await close()
  }
}

/** Answers Caddy. @param failed whether it asks about a request that a VM did not answer, and not about a new one */
async function settle(gate: Gate, request: IncomingMessage, response: ServerResponse, failed: boolean): Promise<void> {
  const { secure } = gate.front()
  const authRequest = authRequestOf(request, secure)
  // A failed request carries no session: it was removed before the request went to the VM.
  const user = String(request.headers[userHeader.toLowerCase()] ?? '')
  const verdict = await (failed ? explain(gate, authRequest, user) : authorize(gate, authRequest))
  answer(response, verdict, authRequest, secure)
}

function authRequestOf({ headers }: IncomingMessage, secure: boolean): AuthRequest {
  const uri = String(headers['x-forwarded-uri'] ?? '')
  const page = headers['x-forwarded-method'] === 'GET' && (headers.accept ?? '').includes('text/html')
  return {
    host: headers.host ?? '',
    uri: uri.startsWith('/') ? uri : '/',
    // Browsers send Sec-Fetch-Mode. A basic authentication challenge would make them prompt the user.
    client: page ? 'page' : headers['sec-fetch-mode'] !== undefined ? 'script' : 'program',
    token: tokenIn(headers.cookie, secure),
    secret: secretIn(headers.authorization),
    browser: { agent: headers['user-agent'] ?? '', from: clientOf(String(headers['x-forwarded-for'] ?? '')) },
    peer: peerOf(String(headers[peerHeader.toLowerCase()] ?? '')),
  }
}

/** Returns the session token from a Cookie header: the first well-formed one. Pure. */
export function tokenIn(cookies: string | undefined, secure: boolean): string | undefined {
  const name = sessionCookie(secure)
  const whole = new RegExp(`^${tokenPattern}$`)
  const tokens = (cookies?.split(';') ?? []).map((each) => parse(each, name)[name] ?? '')
  return tokens.find((token) => whole.test(token))
}

/** Parses what Caddy sends: `HTTP/3.0 203.0.113.9:51234`. Pure. */
const peerOf = (said: string): string =>
  `${said.startsWith('HTTP/3') ? 'udp' : 'tcp'} ${said.slice(said.indexOf(' ') + 1)}`

/** Returns what the VM learns about the client: `owner`, `guest`, `token`, or ''. Pure. */
const userOf = ({ kind }: Principal): string => (kind === 'stranger' ? '' : kind)

function answer(response: ServerResponse, verdict: Verdict, authRequest: AuthRequest, secure: boolean): void {
  switch (verdict.kind) {
    case 'pass':
      response.writeHead(204, {
        // A Croft token must not reach the VM.
        [verdictHeader]: authRequest.secret === undefined ? 'pass' : 'pass-without-authorization',
        [upstreamHeader]: verdict.upstream,
        [userHeader]: userOf(verdict.principal),
        [nameHeader]: encodeURIComponent(verdict.principal.name),
      })
      response.end()
      break
    case 'redirect':
      response.writeHead(303, {
        Location: verdict.to,
        'Cache-Control': 'no-store',
        'Referrer-Policy': 'no-referrer',
        ...(verdict.cookie && { 'Set-Cookie': sessionCookieFor(verdict.cookie, secure) }),
      })
      response.end()
      break
    case 'page': {
      const { page } = verdict
      const forBrowser = authRequest.client === 'page'
      response.writeHead(page.status, headersOf(page, forBrowser ? 'html' : 'plain'))
      response.end(forBrowser ? documentOf(page) : textOf(page))
    }
  }
}
