import type { Tls } from '../store/index.ts'
import { adminOrigin } from './client.ts'

/** What Caddy's whole configuration depends on. No VM is in it: making one never touches the proxy. */
export interface CaddySettings {
  /** Path of the unix socket of its admin API. */
  admin: string
  /** Path of the unix socket at which the gate is asked. */
  gate: string
  /** Name beneath which the VMs are. */
  domain: string
  /** Ports for HTTP and HTTPS. */
  http: number
  https: number
  tls: Tls
  /** Path of the file with the root certificate that `tls` names, if it names one. */
  root: string
  /** URL that says whether a host name may have a certificate: 200, or anything else. */
  permission: string
  /** Whether Caddy is older than 2.8, which knows that URL by another name. */
  old: boolean
}

/** As much of Caddy's JSON (https://caddyserver.com/docs/json/) as is used here. */
export interface CaddyConfig {
  admin: { listen: string; origins: string[]; config: { persist: boolean } }
  logging: { logs: Record<string, { level?: string; include?: string[]; exclude?: string[] }> }
  apps: {
    http: { http_port: number; https_port: number; grace_period: string; servers: Record<string, Server> }
    tls?: object
    pki?: object
  }
}

interface Server {
  listen: string[]
  automatic_https: { disable: boolean }
  tls_connection_policies?: object[]
  routes: Route[]
  errors?: { routes: Route[] }
}

interface Route {
  match?: Record<string, unknown>[]
  handle: Handler[]
  terminal?: boolean
}

type Handler = { handler: string } & Record<string, unknown>

/**
 * The header by which the gate's answer says that the request may go on to the VM that `upstreamHeader` names: `pass`, or
 * `pass-without-authorization` when that header had a token of ours.
 */
export const verdictHeader = 'X-Croft-Verdict'
export const upstreamHeader = 'X-Croft-Upstream'
/** Says to the VM who it is that comes. */
export const userHeader = 'X-Croft-User'
/** The name that a link or a token was given with, percent-encoded. */
export const nameHeader = 'X-Croft-Name'
/** Tells the gate what is wanted of it: `verdict`, or `failed` for a page about a VM that did not answer. */
export const askHeader = 'X-Croft-Ask'
/** Tells the gate by which connection a request came: protocol, address and port. */
export const peerHeader = 'X-Croft-Peer'

/**
 * The cookie in which a host name's session is: it is the gate's and no VM sees it. By HTTPS its name has browsers keep
 * other hosts from setting it (RFC 6265bis, section 4.1.3.2). Pure.
 */
export const sessionCookie = (secure: boolean): string => `${secure ? '__Host-' : ''}croft_session`

/**
 * Every second the daemon asks which configuration runs: of the admin API only what went wrong is wanted. Its words go to
 * the log called `default` whatever that excludes (Caddy 2.6.2), so the others' go to one of their own.
 */
const logging: CaddyConfig['logging'] = {
  logs: { default: { include: ['admin'], level: 'WARN' }, croft: { exclude: ['admin'] } },
}

/** What Caddy is started with: its admin API alone, at which the daemon gives it the rest. packaging/caddy.json is this. Pure. */
export function startConfig(admin: string): Pick<CaddyConfig, 'admin' | 'logging'> {
  return { admin: { listen: `unix/${admin}`, origins: [adminOrigin], config: { persist: false } }, logging }
}

/**
 * Caddy's whole configuration. Each request is first a question to the gate, without body, `Connection` and `Upgrade`;
 * with its consent the request itself goes to the VM. What else the gate answers (a redirect, a page) is the answer.
 * For Caddy 2.6.2 and later. Pure.
 */
export function caddyConfig(settings: CaddySettings): CaddyConfig {
  const { admin, gate, domain, http, https, tls } = settings
  const secure = tls.mode !== 'off'
  const suffix = https === 443 ? '' : `:${https}`
  const toHttps: Handler = {
    handler: 'static_response',
    status_code: 308,
    headers: { Location: [`https://{http.request.host}${suffix}{http.request.uri}`] },
  }
  const door: Server = {
    listen: [`:${secure ? https : http}`],
    automatic_https: { disable: true },
    ...(secure && { tls_connection_policies: [{}] }),
    routes: [
      { handle: [{ handler: 'headers', request: { delete: ['X-Croft-*'] } }] },
      { match: [{ host: [`croft.${domain}`] }], handle: [toGate(gate)], terminal: true },
      { handle: [askGate(gate, 'verdict', passing), ...withoutCookie(), toVm] },
    ],
    errors: { routes: [{ handle: [askGate(gate, 'failed', [])] }] },
  }
  const redirect: Server = { listen: [`:${http}`], automatic_https: { disable: true }, routes: [{ handle: [toHttps] }] }
  return {
    ...startConfig(admin),
    apps: {
      http: {
        http_port: http,
        https_port: https,
        grace_period: '5s',
        servers: secure ? { croft: door, redirect } : { croft: door },
      },
      ...(secure && { tls: certificates(settings) }),
      // Its root is for whoever wants to trust it; it does not belong among those that the box itself trusts.
      ...(tls.mode === 'internal' && {
        pki: { certificate_authorities: { local: { name: 'Croft', install_trust: false } } },
      }),
    },
  }
}

/** A certificate for each host name when somebody comes for it, if the daemon allows that name. */
function certificates({ tls, root, permission, old }: CaddySettings): object {
  const issuer =
    tls.mode === 'acme'
      ? {
          module: 'acme',
          ...(tls.directory && { ca: tls.directory }),
          ...(tls.email && { email: tls.email }),
          ...(tls.root && { trusted_roots_pem_files: [root] }),
        }
      : { module: 'internal' }
  return {
    automation: {
      policies: [{ on_demand: true, issuers: [issuer] }],
      on_demand: old ? { ask: permission } : { permission: { module: 'http', endpoint: permission } },
    },
  }
}

const peer = '{http.request.proto} {http.request.remote}'

/** The daemon may be away for a moment: what would be refused then is held, and tried again. */
const toGate = (gate: string): Handler => ({
  handler: 'reverse_proxy',
  headers: { request: { set: { [peerHeader]: [peer] } } },
  upstreams: [{ dial: `unix/${gate}` }],
  transport: { protocol: 'http', compression: false },
  load_balancing: { try_duration: '30s', try_interval: '100ms' },
})

/** As `forward_auth` of a Caddyfile does it. */
const askGate = (gate: string, what: 'verdict' | 'failed', responses: object[]): Handler => ({
  ...toGate(gate),
  rewrite: { method: 'GET' },
  headers: {
    request: {
      set: { [askHeader]: [what], [peerHeader]: [peer], 'X-Forwarded-Method': ['{http.request.method}'] },
      delete: ['Connection', 'Upgrade', 'Content-Length', 'Content-Type', 'Transfer-Encoding', 'Expect'],
    },
  },
  ...(responses.length && { handle_response: responses }),
})

/** A header of the request as the gate's answer has it. */
const answered = (name: string) => [name, [`{http.reverse_proxy.header.${name}}`]]

const onward: Handler[] = [
  { handler: 'vars', upstream: `{http.reverse_proxy.header.${upstreamHeader}}` },
  // The gate always says it, empty where nobody is known: what it leaves out would stay as it is written here.
  { handler: 'headers', request: { set: Object.fromEntries([userHeader, nameHeader].map(answered)) } },
]

const passing = [
  { match: { headers: { [verdictHeader]: ['pass'] } }, routes: [{ handle: onward }] },
  {
    match: { headers: { [verdictHeader]: ['pass-without-authorization'] } },
    routes: [{ handle: [...onward, { handler: 'headers', request: { delete: ['Authorization'] } }] }],
  },
]

/** Takes the session's cookie out of those for the VM, and a header that is then empty. */
function withoutCookie(): Handler[] {
  const ours = { search_regexp: `(^|;\\s*)(__Host-)?${sessionCookie(false)}=[^;]*`, replace: '' }
  const left = { search_regexp: '^;\\s*', replace: '' }
  const drop = (name: string) => ({
    match: [{ header: { [name]: [''] } }],
    handle: [{ handler: 'headers', request: { delete: [name] } }],
  })
  return [
    { handler: 'headers', request: { replace: { Cookie: [ours, left] } } },
    { handler: 'subroute', routes: ['Cookie', userHeader, nameHeader].map(drop) },
  ]
}

const toVm: Handler = {
  handler: 'reverse_proxy',
  upstreams: [{ dial: '{http.vars.upstream}' }],
  // A connection that is kept for the next request has the VM count as in use.
  transport: { protocol: 'http', dial_timeout: '5s', compression: false, keep_alive: { idle_timeout: '15s' } },
  flush_interval: -1,
}
