import type { Tls } from '../../store/index.ts'

/** The only entry in `origins` of our configuration; Caddy's admin API refuses a request with any other Host. */
export const adminOrigin = 'croft'

/** Everything that Caddy's configuration depends on. No VM is in it, so that creating one never touches the proxy. */
export interface CaddySettings {
  /** Path of the unix socket of Caddy's admin API. */
  admin: string
  /** Path of the unix socket on which the gate listens. */
  gate: string
  /** Path of the folder with the passes that the gate issues, see `passName`. */
  passes: string
  /** The domain beneath which the VMs have their names. */
  domain: string
  /** Ports for HTTP and HTTPS. */
  http: number
  https: number
  tls: Tls
  /** Path to the root certificate that `tls.root` has, written to a file; null when it has none. */
  root: string | undefined
  /** URL that Caddy asks whether a host name may have a certificate: status 200 allows it, any other refuses. */
  permission: string
  /** Whether Caddy is older than 2.8, in which the setting for that URL has another name. */
  old: boolean
}

/** The part of Caddy's JSON (https://caddyserver.com/docs/json/) that is used here. */
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
  read_header_timeout: string
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
 * The header with which the gate's answer lets a request go on to the VM that `upstreamHeader` names: `pass`, or
 * `pass-without-authorization` when the request's Authorization header had a token of ours.
 */
export const verdictHeader = 'X-Croft-Verdict'
export const upstreamHeader = 'X-Croft-Upstream'
/** Tells the VM who sent the request. */
export const userHeader = 'X-Croft-User'
/** The name under which a link or token was created, percent-encoded. */
export const nameHeader = 'X-Croft-Name'
/** Tells the gate what Caddy wants of it: `verdict`, or `failed` for a page about a VM that did not answer. */
export const askHeader = 'X-Croft-Ask'
/** Tells the gate on which connection a request came: protocol, address and port. */
export const peerHeader = 'X-Croft-Peer'

/**
 * Returns the name of the cookie that holds a host name's session. It is for the gate, and no VM sees it. With HTTPS,
 * the prefix makes browsers refuse it from other hosts (RFC 6265bis, section 4.1.3.2). Pure.
 */
export const sessionCookie = (secure: boolean): string => `${secure ? '__Host-' : ''}croft_session`

/**
 * The daemon asks every second which configuration runs, so only warnings of the admin API are logged. Its messages go
 * to the log called `default` whatever that excludes (Caddy 2.6.2), so all other messages go to a log of their own.
 */
const logging: CaddyConfig['logging'] = {
  logs: { default: { include: ['admin'], level: 'WARN' }, croft: { exclude: ['admin'] } },
}

/**
 * Returns the configuration that Caddy starts with: its admin API alone, through which the daemon loads the rest.
 * packaging/caddy.json is the same. Pure.
 */
export function startConfig(admin: string): Pick<CaddyConfig, 'admin' | 'logging'> {
  return { admin: { listen: `unix/${admin}`, origins: [adminOrigin], config: { persist: false } }, logging }
}

/** Matches a session's token: 256 bits in base64url. Nothing else that a client sends is taken for one. */
export const tokenPattern = '[A-Za-z0-9_-]{43}'

/**
 * Returns the name of a pass: a folder with one file, which is called `address:port` after the VM's port that it leads
 * to. While it exists, requests for this host name, on this connection and with this session's token (null: without a
 * session, to a public port) go straight to that port. The two kinds begin with different words, so that no client can
 * make one look like the other. Caddy's placeholders can be passed, too: a host name (Go's net/http) and a token have
 * no `/`. Pure.
 */
export const passName = (host: string, remote: string, token: string | null): string =>
  token === null ? `public~${host}~${remote}` : `owner~${host}~${remote}~${token}`

/**
 * How long a server may take to answer `Expect: 100-continue` before Caddy sends the body anyway. Without this setting,
 * Caddy sends the body immediately and answers `100 Continue` itself; the server's own answer would then be a second
 * one, on which a client may send its body again.
 */
const patienceForConsent = '5s'

/** How long a client may take to send the headers of a request. */
const patience = '30s'

/**
 * Returns Caddy's whole configuration. Caddy first asks the gate about each request, without its body, `Connection` and
 * `Upgrade`. If the gate consents, the request goes to the VM; any other answer of the gate (a redirect, a page) goes
 * to the client. The gate is not asked when it has given this connection a pass. For Caddy 2.6.2 and later. Pure.
 */
export function caddyConfig(settings: CaddySettings): CaddyConfig {
  const { admin, gate, passes, domain, http, https, tls } = settings
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
    read_header_timeout: patience,
    ...(secure && { tls_connection_policies: [{}] }),
    routes: [
      { handle: [withoutOurs, withoutServer] },
      withoutH2c,
      { match: [{ host: [`croft.${domain}`] }], handle: [toGate(gate)], terminal: true },
      withPass(passes, sessionCookie(secure)),
      {
        handle: [
          askGate(gate, 'verdict', passing),
          withoutSession(),
          dropEmpty('Cookie', userHeader, nameHeader),
          toVm('{http.vars.upstream}'),
        ],
      },
    ],
    errors: { routes: [{ handle: [askGate(gate, 'failed', [])] }] },
  }
  const redirect: Server = {
    listen: [`:${http}`],
    automatic_https: { disable: true },
    read_header_timeout: patience,
    routes: [{ handle: [toHttps] }],
  }
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
      // The root of the box's own CA is for clients that want to trust it; the box itself does not.
      ...(tls.mode === 'internal' && {
        pki: { certificate_authorities: { local: { name: 'Croft', install_trust: false } } },
      }),
    },
  }
}

/** Gets a certificate for a host name when the first client connects to it, if the daemon allows that name. */
function certificates({ tls, root, permission, old }: CaddySettings): object {
  const issuer =
    tls.mode === 'acme'
      ? {
          module: 'acme',
          ...(tls.directory && { ca: tls.directory }),
          ...(tls.email && { email: tls.email }),
          ...(root && { trusted_roots_pem_files: [root] }),
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

/** Sends a request to the gate. While the daemon restarts, the request is held and tried again. */
const toGate = (gate: string): Handler => ({
  handler: 'reverse_proxy',
  headers: { request: { set: { [peerHeader]: [peer] } } },
  upstreams: [{ dial: `unix/${gate}` }],
  transport: { protocol: 'http', compression: false, expect_continue_timeout: patienceForConsent },
  load_balancing: { try_duration: '30s', try_interval: '100ms' },
})

/**
 * Asks the gate about a request, as `forward_auth` of a Caddyfile does. Caddy leaves the body out of the question only
 * if the rewrite changes something. A GET with a body would lose the body to the question, so the rewrite also changes
 * the path, to one of the gate's own.
 */
const askGate = (gate: string, what: 'verdict' | 'failed', responses: object[]): Handler => ({
  ...toGate(gate),
  rewrite: { method: 'GET', uri: '/.croft/ask' },
  headers: {
    request: {
      set: {
        [askHeader]: [what],
        [peerHeader]: [peer],
        'X-Forwarded-Method': ['{http.request.method}'],
        'X-Forwarded-Uri': ['{http.request.uri}'],
      },
      delete: ['Connection', 'Upgrade', 'Content-Length', 'Content-Type', 'Transfer-Encoding', 'Expect'],
    },
  },
  ...(responses.length && { handle_response: responses }),
})

/** Sets a header of the request to what the gate's answer has. */
const answered = (name: string) => [name, [`{http.reverse_proxy.header.${name}}`]]

const onward: Handler[] = [
  { handler: 'vars', upstream: `{http.reverse_proxy.header.${upstreamHeader}}` },
  // The gate always sends these, empty for a stranger: Caddy would leave the placeholder of a missing one as it is.
  { handler: 'headers', request: { set: Object.fromEntries([userHeader, nameHeader].map(answered)) } },
]

const passing = [
  { match: { headers: { [verdictHeader]: ['pass'] } }, routes: [{ handle: onward }] },
  {
    match: { headers: { [verdictHeader]: ['pass-without-authorization'] } },
    routes: [{ handle: [...onward, { handler: 'headers', request: { delete: ['Authorization'] } }] }],
  },
]

/**
 * Returns the route for requests with a pass: the owner's, and anybody's. Requests with a token, and those for the
 * gate's own paths, always go to the gate. The owner's pass needs exactly one complete session cookie; anybody's needs
 * that there is none, nor anything like one. Caddy tries the parts of one matcher in any order, and looking for a file
 * is what costs time, so the file matchers are nested inside the others.
 */
function withPass(passes: string, cookie: string): Route {
  const hasSession = {
    header_regexp: { Cookie: { name: 'session', pattern: `(?:^|;\\s*)${cookie}=(${tokenPattern})(?:;|$)` } },
  }
  const hasMore = { header_regexp: { Cookie: { pattern: `${cookie}=.*${cookie}=` } } }
  const resembles = { header: { Cookie: ['*croft_session*'] } }
  const owner: Handler[] = [
    { handler: 'headers', request: { set: { [userHeader]: ['owner'] } } },
    withoutSession(),
    dropEmpty('Cookie'),
  ]
  return {
    match: [{ header: { Authorization: null }, not: [{ path: ['/.croft/*'] }] }],
    handle: [
      subroute(
        {
          match: [{ ...hasSession, not: [hasMore] }],
          handle: [subroute(pass(passes, '{http.regexp.session.1}', owner))],
        },
        { match: [{ not: [resembles] }], handle: [subroute(pass(passes, null, []))] },
      ),
    ],
  }
}

/** Returns the route to the port that a pass leads to, if there is such a pass. */
function pass(passes: string, token: string | null, handle: Handler[]): Route {
  const file = passName('{http.request.host}', '{http.request.remote}', token)
  const address: Handler = {
    handler: 'map',
    source: '{http.matchers.file.relative}',
    destinations: ['{pass}'],
    mappings: [{ input_regexp: '([^/]+)$', outputs: ['$1'] }],
  }
  return {
    match: [{ file: { root: passes, try_files: [`/${file}/*`] } }],
    handle: [address, ...handle, toVm('{pass}')],
    terminal: true,
  }
}

/**
 * The characters that a header's name may have besides letters and digits (RFC 9110, 5.6.2). A server that turns names
 * into variables maps them all to the same one.
 */
const marks = [..."!#$%&'*+-.^_`|~"]

/**
 * Removes headers with which a client could imitate Croft's, in any spelling, also with a prefix that a server may add
 * (`HTTP_X_CROFT_USER`). They are removed from `Connection`, too, as a proxy drops the headers named there.
 */
const withoutOurs: Handler = {
  handler: 'headers',
  request: {
    delete: marks.map((mark) => `*x${mark}croft*`),
    replace: { Connection: [{ search_regexp: '(?i)x[^a-z0-9]croft[^,]*', replace: '' }] },
  },
}

/** Keeps Caddy from adding its own name to the `Server` header, which is for the VM to send. */
const withoutServer: Handler = { handler: 'headers', response: { delete: ['Server'] } }

/**
 * Prevents h2c smuggling: a VM's server that switched to HTTP/2 on a connection would take requests from the client
 * directly, with any headers about who it is.
 */
const withoutH2c: Route = {
  match: [{ header_regexp: { Upgrade: { pattern: '(?i)h2c' } } }],
  handle: [{ handler: 'headers', request: { delete: ['Upgrade', 'HTTP2-Settings'] } }],
}

const subroute = (...routes: Route[]): Handler => ({ handler: 'subroute', routes })

/**
 * Removes the session's cookie from the Cookie header for the VM: at the beginning with the separator after it,
 * elsewhere with the one before it.
 */
function withoutSession(): Handler {
  const ours = `(__Host-)?${sessionCookie(false)}=[^;]*`
  const replace = [{ search_regexp: `^(${ours}(;\\s*|$))+|;\\s*${ours}`, replace: '' }]
  return { handler: 'headers', request: { replace: { Cookie: replace } } }
}

function dropEmpty(...names: string[]): Handler {
  const drop = (name: string): Route => ({
    match: [{ header: { [name]: [''] } }],
    handle: [{ handler: 'headers', request: { delete: [name] } }],
  })
  return subroute(...names.map(drop))
}

/** Sends a request to a VM. By Caddy's own rule, bodies of unknown length are streamed. */
const toVm = (dial: string): Handler => ({
  handler: 'reverse_proxy',
  upstreams: [{ dial }],
  // While a connection is kept for the next request, the VM counts as in use; and a request that is sent just when the
  // VM's server closes the connection fails. Many servers close it after 5 s (Node, uvicorn).
  transport: {
    protocol: 'http',
    dial_timeout: '5s',
    expect_continue_timeout: patienceForConsent,
    compression: false,
    keep_alive: { idle_timeout: '4s', max_idle_conns_per_host: 100 },
  },
})
