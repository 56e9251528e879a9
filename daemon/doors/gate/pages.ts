import { html, raw } from 'hono/html'
import { serviceOn } from './services.ts'

/** A page that the gate itself serves. Pages are self-contained: they load nothing and run no script. */
export interface Page {
  status: number
  title: string
  /** Markup, with interpolated values escaped. It contains no promises. */
  body: ReturnType<typeof html>
  /** Seconds after which the browser reloads the page. */
  refresh?: number
  /** Seconds for which the client should not retry (`Retry-After`). */
  wait?: number
  /** Whether to ask a program for a token by HTTP basic authentication. */
  challenge?: boolean
  /** The text for programs, in place of the title. */
  says?: string
}

const style = `:root{color-scheme:light dark;--ground:#faf8f4;--ink:#23211d;--soft:#6f6a60;--line:#ddd7ca;--live:#2e7d4f}
@media(prefers-color-scheme:dark){:root{--ground:#1b1a17;--ink:#ece8df;--soft:#9c968a;--line:#3a372f;--live:#6cc08b}}
body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:36rem;margin:16vh auto 0;padding:0 24px}h1{font-size:24px;font-weight:600;margin:0 0 8px}
p{margin:0 0 16px}code,kbd{font:14px/1.5 ui-monospace,monospace}code{background:none;border:1px solid var(--line);padding:2px 6px}
a{color:var(--live)}button{font:inherit;color:var(--ground);background:var(--live);border:0;padding:8px 16px;cursor:pointer}
input{font:inherit;color:inherit;background:none;border:1px solid var(--line);padding:7px 8px;width:20rem;max-width:100%;box-sizing:border-box}
.soft{color:var(--soft)}ul{padding-left:20px}svg{width:24px;height:24px;margin-bottom:24px}`

const mark = html`<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M2 2h20v20H2zM2 14h12V2M14 22v-8h8" fill="none" stroke="currentColor" stroke-width="1.5"/><path d="M16.5 16.5h3v3h-3z" fill="var(--live)"/></svg>`

/** Inline, so that the browser doesn't ask the VM's address for /favicon.ico. */
const icon = `data:image/svg+xml,${encodeURIComponent(
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><style>path{fill:none;stroke:#23211d;stroke-width:1.5}rect{fill:#2e7d4f}@media(prefers-color-scheme:dark){path{stroke:#ece8df}rect{fill:#6cc08b}}</style><path d="M2 2h20v20H2zM2 14h12V2M14 22v-8h8"/><rect x="16.5" y="16.5" width="3" height="3"/></svg>',
)}`

/** Renders a page as text, for a program. */
export const textOf = ({ title, says = `${title}.` }: Page): string => `${says}\n`

/** Renders a page as an HTML document. */
export function documentOf({ title, body }: Page): string {
  return String(html`<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${title}</title><link rel="icon" href="${icon}"><style>${raw(style)}</style></head><body><main>${mark}<h1>${title}</h1>${body}</main></body></html>
`)
}

export const nothingHere: Page = {
  status: 404,
  title: 'Nothing here',
  body: html`<p>There is nothing for you at this address.</p>`,
}

export const notNow: Page = {
  status: 502,
  title: 'Not available right now',
  body: html`<p>This site isn't responding right now. Try again later.</p>`,
}

/** For a program that has not authenticated. */
export const signInFirst: Page = {
  status: 401,
  title: 'Sign in',
  says: 'Sign in with croft login. Programs send a token, as a bearer token or as the password of basic authentication: croft token new',
  body: html``,
}

/** The address that a visitor was about to open when they were asked to sign in. */
export interface Aim {
  /** The Host header of a VM's address. */
  host: string
  /** The path and query. */
  to: string
}

/**
 * Asks a visitor to sign in. The link can also be pasted, because the browser may reach the box through another port
 * than the one in the link, such as a forwarded port.
 * @param wasIn whether the visitor had access to the address before
 */
export const signIn = (aim: Aim | undefined, wasIn: boolean): Page => ({
  ...signInFirst,
  title: wasIn ? 'Your access has ended' : 'Sign in',
  body: html`${wasIn ? html`<p>If you came by a share link, it has expired or was revoked: ask for another. If the box is yours, sign in again.</p>` : html``}
<p>On the box, run</p><p><code>croft login</code></p><p>and open the link it prints, or paste it here.</p>
<form method="post" action="/login"><input name="code" aria-label="The link" autocomplete="off" required>${
    aim
      ? html`<input type="hidden" name="host" value="${aim.host}"><input type="hidden" name="to" value="${aim.to}">`
      : html``
  } <button>Sign in</button></form>`,
})

export const signedIn = (aim: Aim | undefined): Page => ({
  status: 200,
  title: 'You are signed in',
  body: html`${aim ? html`<p><a href="/enter?${String(new URLSearchParams({ ...aim }))}">Continue to ${aim.host}</a></p>` : html``}
<p>You can now open the addresses of your VMs in this browser.</p><p class="soft"><code>croft ls</code> lists the VMs,
<code>croft session ls</code> lists who is signed in.</p><form method="post" action="/logout"><button>Sign out everywhere</button></form>`,
})

export const signedOut: Page = {
  status: 200,
  title: 'Signed out',
  body: html`<p>Everybody is signed out of every address of this box.</p>`,
}

/** Asks for confirmation: opening a sign-in link must not sign the browser in without a click. */
export const confirmSignIn = (code: string): Page => ({
  status: 200,
  title: 'Sign in to this box',
  body: html`<p>This browser will have access to everything on the box for 30 days.</p>
<form method="post" action="/login"><input type="hidden" name="code" value="${code}"><button>Sign in</button></form>`,
})

export const linkIsOver: Page = {
  status: 410,
  title: 'This link no longer works',
  body: html`<p>A sign-in link works once, within 10 minutes; <code>croft login</code> makes another. A share link works until it
expires or the owner revokes it.</p>`,
}

export const tooMany = (seconds: number): Page => ({
  status: 429,
  title: 'Too many attempts',
  body: html`<p>Too many invalid links or codes came from your address. Try again in ${seconds} s.</p>`,
  wait: seconds,
})

export const waking = (name: string): Page => ({
  status: 503,
  title: `${name} is waking up`,
  body: html`<p>It will be here in a moment.</p>`,
  refresh: 1,
})

export const isOff = (name: string, why: string, command: string): Page => ({
  status: 503,
  title: `${name} can't be opened`,
  body: html`<p>${why}</p><p><code>${command}</code></p>`,
})

/** For a port whose usual service does not speak HTTP. @param service the server that usually listens on the port */
const noHttp = (name: string, port: number, service: string): Page => ({
  status: 502,
  title: `Nothing speaks HTTP on port ${port} of ${name}`,
  body: html`<p>${service} usually listens there, and no browser speaks its protocol. Reach it through SSH:</p><p><code>croft ssh ${name} -L ${port}:localhost:${port}</code></p>`,
})

/**
 * For a port on which nothing listens.
 * @param open listening ports that have an address of their own @param hidden ports that only the VM itself can reach
 */
export function nothingListens(
  name: string,
  port: number | null,
  open: readonly { port: number; address: string }[],
  hidden: readonly number[],
): Page {
  const service = port === null ? undefined : serviceOn(port)
  if (port !== null && service) return noHttp(name, port, service)
  const what = port === null ? `Nothing listens in ${name} yet` : `Nothing listens on port ${port} of ${name}`
  const links = open.map((each) => html`<li><a href="${each.address}">port ${each.port}</a></li>`)
  return {
    status: 502,
    title: what,
    body: html`${open.length ? html`<p>These ports are open:</p><ul>${links}</ul>` : html`<p>Start a web server in the VM, for example:</p><p><code>croft exec ${name} -- tmux new -d python3 -m http.server 8000</code></p>`}${
      hidden.length
        ? html`<p class="soft">Listening only on 127.0.0.1, which only the VM itself can reach: ${hidden.join(', ')}. Listen on 0.0.0.0 instead.</p>`
        : html``
    }`,
  }
}
