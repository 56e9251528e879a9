import { Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { getCookie } from 'hono/cookie'
import { sessionCookie } from '../caddy/config.ts'
import type { Gate } from './decide.ts'
import { localPath } from './decide.ts'
import * as pages from './pages.ts'
import { hostName, placeOf } from './place.ts'
import { sessionSeconds } from './sessions.ts'

/** Headers of every page that the gate makes: it needs nothing from elsewhere, and nobody shows it in a frame. */
const pageHeaders: Readonly<Record<string, string>> = {
  'Content-Type': 'text/html; charset=utf-8',
  'Cache-Control': 'no-store',
  'Content-Security-Policy':
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  // With `no-referrer` browsers would not say that the sign-in form is ours either.
  'Referrer-Policy': 'same-origin',
  'X-Content-Type-Options': 'nosniff',
}

export function headersOf({ refresh, wait }: pages.Page): Record<string, string> {
  const again = refresh ?? wait
  return {
    ...pageHeaders,
    ...(refresh !== undefined && { Refresh: String(refresh) }),
    ...(again !== undefined && { 'Retry-After': String(again) }),
  }
}

/** The address that a request comes from, as Caddy says, who trusts nobody else's word for it. Pure. */
export const clientOf = (forwardedFor = ''): string => forwardedFor.split(',').at(-1)!.trim()

/** A Set-Cookie value for the session of one host name: no other host sees it, nor does any script. Pure. */
export const sessionCookieFor = ({ token, seconds }: { token: string; seconds: number }): string =>
  `${sessionCookie}=${token}; Path=/; HttpOnly; SameSite=Lax; Max-Age=${seconds}`

/** What is at `croft.<domain>`: signing in and out, and the way from there to a VM's own address. */
export function makeSite(gate: Gate): Hono {
  const { sessions, domain } = gate
  const host = `croft.${domain}`
  const site = new Hono()
  const show = (page: pages.Page) =>
    new Response(pages.documentOf(page), { status: page.status, headers: headersOf(page) })
  const isOwner = (token: string | undefined) => token !== undefined && sessions.find(host, token) !== undefined

  // A form of another site's must not sign anybody in or out: browsers say where a POST comes from.
  site.use(async (c, next) => {
    const from = c.req.header('origin')
    if (c.req.method !== 'GET' && (!from || hostName(URL.parse(from)?.host ?? '') !== host))
      return show(pages.nothingHere)
    return next()
  })
  site.use(bodyLimit({ maxSize: 4096, onError: () => show(pages.nothingHere) }))
  site.notFound(() => show(pages.nothingHere))

  site.get('/', (c) => show(isOwner(getCookie(c, sessionCookie)) ? pages.signedIn : pages.signInFirst))

  // Opening a link signs nobody in: what looks at links beforehand would use it up.
  site.get('/login', (c) => {
    const code = c.req.query('code') ?? ''
    return show(sessions.isCode(host, code) ? pages.confirmSignIn(code) : pages.linkIsOver)
  })
  site.post('/login', async (c) => {
    const { code } = await c.req.parseBody()
    const from = clientOf(c.req.header('x-forwarded-for'))
    const seconds = gate.tries.wait(from)
    if (seconds > 0) return show(pages.tooMany(seconds))
    const token = await sessions.redeem(host, typeof code === 'string' ? code : '')
    if (token === undefined) {
      gate.tries.fail(from)
      return show(pages.linkIsOver)
    }
    c.header('Set-Cookie', sessionCookieFor({ token, seconds: sessionSeconds }))
    return c.redirect('/', 303)
  })

  site.get('/enter', (c) => {
    const to = c.req.query('host') ?? ''
    if (placeOf(to, domain)?.kind !== 'vm') return show(pages.nothingHere)
    if (!isOwner(getCookie(c, sessionCookie))) return show(pages.signInFirst)
    const query = new URLSearchParams({
      code: sessions.makeCode(hostName(to)),
      to: localPath(c.req.query('to') ?? '/'),
    })
    return c.redirect(`//${to.toLowerCase()}/.croft/enter?${query}`, 303)
  })

  site.post('/logout', async (c) => {
    if (isOwner(getCookie(c, sessionCookie))) await sessions.endAll()
    return show(pages.signedOut)
  })
  return site
}
