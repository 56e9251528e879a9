import type { Tls } from '../../store/index.ts'

/** What the `origins` of our configuration allow; Caddy's admin API refuses a request with any other Host. */
export const adminOrigin = 'croft'

/** What Caddy's whole configuration depends on. No VM is in it: making one never touches the proxy. */
export interface CaddySettings {
  /** Path of the unix socket of its admin API. */
  admin: string
  /** Path of the unix socket at which the gate is asked. */
  gate: string
  /** Path of the folder with the passes that the gate gives, see `passName`. */
  passes: string
  /** Name beneath which the VMs are. */
  domain: string
  /** Ports for HTTP and HTTPS. */
  http: number
  https: number
  tls: Tls
  /** Path of the file with the root certificate that `tls` names, if it names one. */
  root: string | undefined
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

/** What a session's token looks like: 256 bits in base64url. Nothing else a client says is taken for one. */
export const tokenPattern = '[A-Za-z0-9_-]{43}'

/**
 * A pass is a folder of this name that has one file, called `address:port` like the VM's port it leads to. While it is there,
 * requests for this host name, by this connection and with this session's token (null: with no session, to a public port) go
 * straight to that port. The two rights begin with different words, so whatever a client says, one is never taken for the
 * other. Also how it is written with Caddy's placeholders: a host name (Go's net/http) and a token have no `/`. Pure.
 */
export const passName = (host: string, remote: string, token: string | null): string =>
  token === null ? `public~${host}~${remote}` : `owner~${host}~${remote}~${token}`

/**
 * How long a server may take to answer `Expect: 100-continue` before the body is sent anyway. With none at all, Caddy sends
 * it at once and says `100 Continue` itself; the server's own would be a second, at which a client may send its body again.
 */
const patienceForConsent = '5s'

/** How long a client may take to say what it wants. */
const patience = '30s'

/**
 * Caddy's whole configuration. A request is first a question to the gate, without body, `Connection` and `Upgrade`;
 * with its consent the request itself goes to the VM. What else the gate answers (a redirect, a page) is the answer.
 * Only with a pass, which the gate gave to this connection before, it is not asked.
 * For Caddy 2.6.2 and later. Pure.
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

/** The daemon may be away for a moment: what would be refused then is held, and tried again. */
const toGate = (gate: string): Handler => ({
  handler: 'reverse_proxy',
  headers: { request: { set: { [peerHeader]: [peer] } } },
  upstreams: [{ dial: `unix/${gate}` }],
  transport: { protocol: 'http', compression: false, expect_continue_timeout: patienceForConsent },
  load_balancing: { try_duration: '30s', try_interval: '100ms' },
})

/**
 * As `forward_auth` of a Caddyfile does it. Only when a rewrite changes something, the body stays behind: a GET that has one
 * would lose it to the question, so the path is another too, of those that are the gate's own.
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

/**
 * The ways that need a pass: of the owner, and of anybody. The gate has to look at a token, and at what is at its own paths.
 * The owner's needs one session's cookie, whole; anybody's none at all, nor what resembles one.
 * Caddy tries what stands in one matcher in any order, and looking for a file is what costs: so these are one in another.
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

/** Where a pass leads, if there is one. */
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

/** What a header's name may have beside letters and digits (RFC 9110, 5.6.2), and a server that makes variables of names folds into one. */
const marks = [..."!#$%&'*+-.^_`|~"]

/**
 * Nobody else says what Croft says, however it is spelled, nor with what a server may put before it (`HTTP_X_CROFT_USER`);
 * and what `Connection` names would not be handed on.
 */
const withoutOurs: Handler = {
  handler: 'headers',
  request: {
    delete: marks.map((mark) => `*x${mark}croft*`),
    replace: { Connection: [{ search_regexp: '(?i)x[^a-z0-9]croft[^,]*', replace: '' }] },
  },
}

/** Which server answers is the VM's to say: Caddy would add its own name to that. */
const withoutServer: Handler = { handler: 'headers', response: { delete: ['Server'] } }

/**
 * A VM's server that went over to HTTP/2 within a connection would take requests from the client itself, with whatever it says
 * about who comes (known as h2c smuggling).
 */
const withoutH2c: Route = {
  match: [{ header_regexp: { Upgrade: { pattern: '(?i)h2c' } } }],
  handle: [{ handler: 'headers', request: { delete: ['Upgrade', 'HTTP2-Settings'] } }],
}

const subroute = (...routes: Route[]): Handler => ({ handler: 'subroute', routes })

/** Takes the session's cookie out of those for the VM: at their beginning with what comes after it, else with what is before. */
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

/** What has no known length is handed on as it comes, by Caddy's own rule. */
const toVm = (dial: string): Handler => ({
  handler: 'reverse_proxy',
  upstreams: [{ dial }],
  // A connection that is kept for the next request has the VM count as in use; and what is sent while the VM's server closes it
  // fails. Many close after 5 s (Node, uvicorn).
  transport: {
    protocol: 'http',
    dial_timeout: '5s',
    expect_continue_timeout: patienceForConsent,
    compression: false,
    keep_alive: { idle_timeout: '4s', max_idle_conns_per_host: 100 },
  },
})
