import { adminOrigin } from './client.ts'

/** What Caddy's whole configuration depends on. No VM is in it: making one never touches the proxy. */
export interface CaddySettings {
  /** Path of the unix socket of its admin API. */
  admin: string
  /** Path of the unix socket at which the gate is asked. */
  gate: string
  /** Name beneath which the VMs are. */
  domain: string
  /** Port for HTTP. */
  http: number
}

/** As much of Caddy's JSON (https://caddyserver.com/docs/json/) as is used here. */
export interface CaddyConfig {
  admin: { listen: string; origins: string[]; config: { persist: boolean } }
  apps: { http: { http_port: number; grace_period: string; servers: Record<string, Server> } }
}

interface Server {
  listen: string[]
  automatic_https: { disable: boolean }
  routes: Route[]
  errors: { routes: Route[] }
}

interface Route {
  match?: Record<string, unknown>[]
  handle: Handler[]
  terminal?: boolean
}

type Handler = { handler: string } & Record<string, unknown>

/** The header by which the gate's answer says that the request may go on to the VM that `upstreamHeader` names. */
export const verdictHeader = 'X-Croft-Verdict'
export const upstreamHeader = 'X-Croft-Upstream'
/** Says to the VM who it is that comes. */
export const userHeader = 'X-Croft-User'
/** The name that a link was given with, percent-encoded. */
export const nameHeader = 'X-Croft-Name'
/** Tells the gate what is wanted of it: `verdict`, or `failed` for a page about a VM that did not answer. */
export const askHeader = 'X-Croft-Ask'

/** The cookie in which a host name's session is: it is the gate's and no VM sees it. */
export const sessionCookie = 'croft_session'

/**
 * Caddy's whole configuration. Each request is first a question to the gate, without body, `Connection` and `Upgrade`;
 * with its consent the request itself goes to the VM. What else the gate answers (a redirect, a page) is the answer.
 * For Caddy 2.6.2 and later. Pure.
 */
export function caddyConfig({ admin, gate, domain, http }: CaddySettings): CaddyConfig {
  return {
    admin: { listen: `unix/${admin}`, origins: [adminOrigin], config: { persist: false } },
    apps: {
      http: {
        http_port: http,
        grace_period: '5s',
        servers: {
          croft: {
            listen: [`:${http}`],
            automatic_https: { disable: true },
            routes: [
              { handle: [{ handler: 'headers', request: { delete: ['X-Croft-*'] } }] },
              { match: [{ host: [`croft.${domain}`] }], handle: [toGate(gate)], terminal: true },
              { handle: [askGate(gate, 'verdict', passing), ...withoutCookie(), toVm] },
            ],
            errors: { routes: [{ handle: [askGate(gate, 'failed', [])] }] },
          },
        },
      },
    },
  }
}

/** The daemon may be away for a moment: what would be refused then is held, and tried again. */
const toGate = (gate: string): Handler => ({
  handler: 'reverse_proxy',
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
      set: { [askHeader]: [what], 'X-Forwarded-Method': ['{http.request.method}'] },
      delete: ['Connection', 'Upgrade', 'Content-Length', 'Content-Type', 'Transfer-Encoding', 'Expect'],
    },
  },
  ...(responses.length && { handle_response: responses }),
})

/** A header of the request as the gate's answer has it. */
const answered = (name: string) => [name, [`{http.reverse_proxy.header.${name}}`]]

const passing = [
  {
    match: { headers: { [verdictHeader]: ['pass'] } },
    routes: [
      {
        handle: [
          { handler: 'vars', upstream: `{http.reverse_proxy.header.${upstreamHeader}}` },
          // The gate always says it, empty where nobody is known: what it leaves out would stay as it is written here.
          { handler: 'headers', request: { set: Object.fromEntries([userHeader, nameHeader].map(answered)) } },
        ],
      },
    ],
  },
]

/** Takes the session's cookie out of those for the VM, and a header that is then empty. */
function withoutCookie(): Handler[] {
  const ours = { search_regexp: `(^|;\\s*)${sessionCookie}=[^;]*`, replace: '' }
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
