import { type Context, Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { getCookie } from 'hono/cookie'
import type { Note } from '../../activity/index.ts'
import { sessionCookie } from '../../adapters/caddy/config.ts'
import { ownerBy, type Principal, stranger } from '../../core/access/principal.ts'
import { digestOf } from '../../lib/secret.ts'
import type { Session } from '../../store/index.ts'
import { type Gate, localPath } from './authorize.ts'
import * as pages from './pages.ts'
import { noSuchLink, tooOften } from './refusals.ts'
import { hostName, targetOf } from './routing.ts'
import { type Browser, sessionSeconds } from './sessions.ts'

/** Maximum length of the path and query that the sign-in form carries along. */
const longestAim = 2000

/** Headers of every page of the gate: it loads nothing from elsewhere, and can't be framed. */
const pageHeaders: Readonly<Record<string, string>> = {
  'Cache-Control': 'no-store',
  'Content-Security-Policy':
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  // With `no-referrer`, browsers would send no usable Origin for our own sign-in form either.
  'Referrer-Policy': 'same-origin',
  'X-Content-Type-Options': 'nosniff',
}

export function headersOf({ refresh, wait, challenge }: pages.Page, type: 'html' | 'plain'): Record<string, string> {
  const again = refresh ?? wait
  return {
    ...pageHeaders,
    'Content-Type': `text/${type}; charset=utf-8`,
    ...(refresh !== undefined && { Refresh: String(refresh) }),
    ...(again !== undefined && { 'Retry-After': String(again) }),
    ...(challenge && { 'WWW-Authenticate': 'Basic realm="Croft, with a token as password", charset="UTF-8"' }),
  }
}

/** Returns the client address that Caddy reports; Caddy trusts no other proxy's. Pure. */
export const clientOf = (forwardedFor = ''): string => forwardedFor.split(',').at(-1)!.trim()

/** Returns a Set-Cookie value for the session of one host name, hidden from other hosts and from scripts. Pure. */
export function sessionCookieFor({ token, seconds }: { token: string; seconds: number }, secure: boolean): string {
  const flags = `Path=/; HttpOnly; SameSite=Lax; Max-Age=${seconds}${secure ? '; Secure' : ''}`
  return `${sessionCookie(secure)}=${token}; ${flags}`
}

/** An address of Croft's own. */
export interface SiteOrigin {
  /** Its host name, without port. */
  host: string
  secure: boolean
  /** Returns the address that a request comes from. */
  client(c: Context): string
}

/** Returns the request's session at Croft's own address. */
export function sessionAt({ sessions }: Gate, { host, secure }: SiteOrigin, c: Context): Session | undefined {
  const token = getCookie(c, sessionCookie(secure))
  return token === undefined ? undefined : sessions.find(host, digestOf(token))
}

/** Whether a request comes from a page of this same origin, port included. Browsers send Origin with every POST. */
export function isFrom({ host, secure }: SiteOrigin, c: Context): boolean {
  const url = URL.parse(c.req.header('origin') ?? '')
  return (
    url !== null &&
    hostName(url.host) === host &&
    url.host === c.req.header('host')?.toLowerCase() &&
    (url.protocol === 'https:') === secure
  )
}

const triedToSignIn = 'tried to sign in'

const show = (page: pages.Page) =>
  new Response(pages.documentOf(page), { status: page.status, headers: headersOf(page, 'html') })

/** Returns the response for an unknown path. */
export const nothingHereResponse = (): Response => show(pages.nothingHere)

/** Returns the response for pages that need a signed-in browser. */
export const signInPage = (): Response => show(pages.signIn(undefined, false))

/** Makes the site at Croft's own address: sign-in, sign-out, and the redirects from there to VMs' addresses. */
export function makeSite(gate: Gate, siteOriginNow: () => SiteOrigin): Hono {
  const { sessions } = gate
  const site = new Hono()
  const note = (c: Context, by: Principal, what: string, outcome: Partial<Note> = {}) => {
    const { agent, from: address } = browserOf(c)
    return gate.box.activity.note({ by, from: { way: 'web', address, agent }, what, ...outcome })
  }
  const browserOf = (c: Context): Browser => ({
    agent: c.req.header('user-agent') ?? '',
    from: siteOriginNow().client(c),
  })

  // A form on another site must not sign anybody in or out (CSRF).
  site.use(async (c, next) => {
    if (!['GET', 'HEAD'].includes(c.req.method) && !isFrom(siteOriginNow(), c)) return nothingHereResponse()
    return next()
  })
  site.use(bodyLimit({ maxSize: 8192, onError: nothingHereResponse }))

  const aimOf = (host = '', to = '/'): pages.Aim | undefined =>
    targetOf(gate.box.store.state, hostName(host)) && {
      host: host.toLowerCase(),
      to: localPath(to.length <= longestAim ? to : '/'),
    }

  site.get('/', (c) => {
    const aim = aimOf(c.req.query('host'), c.req.query('to'))
    return show(sessionAt(gate, siteOriginNow(), c) ? pages.signedIn(aim) : pages.signIn(aim, false))
  })

  // A GET of the link signs nobody in: a link preview would use it up.
  site.get('/login', (c) => {
    const code = c.req.query('code') ?? ''
    return show(sessions.isCode(siteOriginNow().host, code) ? pages.confirmSignIn(code) : pages.linkIsOver)
  })
  site.post('/login', async (c) => {
    const { host, secure } = siteOriginNow()
    const form = await c.req.parseBody()
    const field = (name: string) => (typeof form[name] === 'string' ? form[name] : '')
    const browser = browserOf(c)
    const seconds = gate.failures.wait(browser.from)
    if (seconds > 0) {
      await note(c, stranger, triedToSignIn, tooOften)
      return show(pages.tooMany(seconds))
    }
    const token = await sessions.redeem(host, codeIn(field('code')), browser)
    if (token === undefined) {
      gate.failures.fail(browser.from)
      await note(c, stranger, triedToSignIn, noSuchLink)
      return show(pages.linkIsOver)
    }
    const session = sessions.find(host, digestOf(token))
    // The session may have ended in the meantime.
    if (session) await note(c, ownerBy(session.signIn), 'signed in')
    c.header('Set-Cookie', sessionCookieFor({ token, seconds: sessionSeconds }, secure))
    const aim = aimOf(field('host'), field('to'))
    // The response to a form can't redirect to another host (Content-Security-Policy), so the page has a link.
    return c.redirect(aim ? `/?${new URLSearchParams({ ...aim })}` : '/', 303)
  })

  site.get('/enter', (c) => {
    const aim = aimOf(c.req.query('host'), c.req.query('to'))
    if (!aim) return nothingHereResponse()
    const session = sessionAt(gate, siteOriginNow(), c)
    if (!session) return show(pages.signIn(aim, c.req.query('was') !== undefined))
    const query = new URLSearchParams({ code: sessions.makeCode(hostName(aim.host), session.signIn), to: aim.to })
    return c.redirect(`//${aim.host}/.croft/enter?${query}`, 303)
  })

  site.post('/logout', async (c) => {
    const session = sessionAt(gate, siteOriginNow(), c)
    if (session) {
      await sessions.endAll()
      await note(c, ownerBy(session.signIn), 'signed out everywhere')
    }
    return show(pages.signedOut)
  })
  return site
}

/** Returns the code in pasted text: a link of `croft login`, or just its code. Pure. */
const codeIn = (pasted: string): string => pasted.trim().replace(/^.*[?&]code=/, '')
