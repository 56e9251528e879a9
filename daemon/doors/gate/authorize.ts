import type { Note } from '../../activity/index.ts'
import { guestBy, ownerBy, type Principal, stranger, tokenHolder } from '../../core/access/principal.ts'
import type { Box } from '../../core/box.ts'
import { stateOf } from '../../core/box.ts'
import { type Peer, webScope } from '../../core/interfaces/web.ts'
import { isFallingAsleep } from '../../core/sleep/sleep-aborts.ts'
import { ensureAwake, isWaking } from '../../core/sleep/wake.ts'
import { asCroftError } from '../../lib/error.ts'
import type { FailureLimiter } from '../../lib/failure-limiter.ts'
import { digestOf } from '../../lib/secret.ts'
import type { Vm } from '../../store/index.ts'
import type { Grant, OpenConnections } from './connections.ts'
import type { GrantCache, Pass } from './grants.ts'
import type { GuestPorts } from './guest-ports.ts'
import type { Links } from './links.ts'
import * as pages from './pages.ts'
import { noSuchLink, tooOften } from './refusals.ts'
import {
  hostName,
  hostOf,
  isAbsolute,
  type PublicOrigin,
  parseHost,
  portSuffix,
  type Target,
  targetOf,
} from './routing.ts'
import { serviceOn } from './services.ts'
import { type Browser, type Sessions, sessionSeconds } from './sessions.ts'
import type { Tokens } from './tokens.ts'

/** A request that Caddy asks the gate about. Everything from the client is untrusted data. */
export interface AuthRequest {
  /** The Host header. */
  host: string
  /** Path and query. */
  uri: string
  /** The kind of client: a browser that loads a `page`, a `script` in a page, or another `program`. */
  client: 'page' | 'script' | 'program'
  /** The token of the session cookie. */
  token: string | undefined
  /** The secret of a Croft token. */
  secret: string | undefined
  browser: Browser
  peer: Peer
}

export type Verdict =
  /** Forward to the VM: `upstream` is `address:port`. */
  | { kind: 'pass'; upstream: string; principal: Principal }
  /** `cookie`: the token of a new session, and its lifetime. */
  | { kind: 'redirect'; to: string; cookie?: { token: string; seconds: number } }
  | { kind: 'page'; page: pages.Page }

export interface Gate {
  box: Box
  /** The public origin of the box now. */
  front(): PublicOrigin
  sessions: Sessions
  links: Links
  tokens: Tokens
  failures: FailureLimiter
  ports: GuestPorts
  connections: OpenConnections
  grants: GrantCache
}

/** Paths on every VM's address that belong to the gate. */
const enterPath = '/.croft/enter'
export const linkPath = '/.croft/link'

/** How long a browser waits for a VM to wake before it gets the waking page. */
const patienceMs = 2_000

/** Decides about a request for a VM's address. */
export async function authorize(gate: Gate, request: AuthRequest): Promise<Verdict> {
  const host = hostName(request.host)
  const { state } = gate.box.store
  const target = targetOf(state, host)
  // To a browser, a host name with a trailing dot is another origin, with its own cookies.
  const isSiteOrPage = target ? request.client === 'page' : parseHost(host, state.web.domain)?.kind === 'croft'
  if (isAbsolute(request.host) && isSiteOrPage)
    return { kind: 'redirect', to: `//${host}${portSuffix(request.host)}${localPath(request.uri)}` }
  if (!target) return page(pages.nothingHere)
  const { vm } = target
  const { path, query } = partsOf(request.uri)
  const { principal, digest } = whoComes(gate, host, target, request)
  if (path === enterPath) return tried(gate, request, target, () => enter(gate, host, query, request.browser))
  if (path === linkPath) return tried(gate, request, target, () => openLink(gate, target, query, principal, request))
  // Do not reveal to strangers whether such a VM exists.
  if (principal.kind === 'stranger' && !isPublic(target)) return signIn(gate, request)
  if (!vm) return page(pages.nothingHere)
  const away = await awaken(gate.box, vm, request, principal)
  if (away) return page(principal.kind === 'owner' || away.refresh ? away : pages.notNow)
  gate.box.usage.note(vm.id, 'a web request')
  const port = portOf(target) ?? (await gate.ports.mainPort(vm))
  if (port === undefined)
    return page(principal.kind === 'owner' ? await nothingListens(gate, vm, null, request.host) : pages.notNow)
  const upstream = `${vm.ip}:${port}`
  const grant = { host, digest }
  if (gate.connections.note(request.peer, grant)) givePass(gate, request, principal, { vm: vm.id, upstream, grant })
  return { kind: 'pass', upstream, principal }
}

/** Gives a pass at a connection's second request: for a single request it would cost more than it saves. */
function givePass(
  gate: Gate,
  { host, peer, token, secret }: AuthRequest,
  { kind }: Principal,
  { vm, upstream, grant }: Pick<Pass, 'vm' | 'upstream' | 'grant'>,
): void {
  const owner = kind === 'owner' && token !== undefined && digestOf(token) === grant.digest
  const anybody = kind === 'stranger' && token === undefined
  // Finding the port may have taken a while: check again that access still holds.
  if (secret !== undefined || !(owner || anybody) || !stillHolds(gate, grant) || !isAwake(gate.box, vm)) return
  gate.grants.give({
    host: host.slice(0, host.length - portSuffix(host).length),
    peer,
    token: owner ? token : null,
    vm,
    upstream,
    grant,
  })
}

/** Whether a VM can take a request without being woken first. */
function isAwake(box: Box, id: string): boolean {
  const vm = box.store.state.vms[id]
  return vm !== undefined && stateOf(box, vm) === 'awake' && !isFallingAsleep(box, id)
}

/** Returns the page for a request that was forwarded and failed: the VM's port refused it or did not answer. */
export async function explain(gate: Gate, request: AuthRequest, user: string): Promise<Verdict> {
  const target = targetOf(gate.box.store.state, hostName(request.host))
  const vm = target?.vm
  if (vm) {
    gate.ports.forget(vm)
    // The client itself may have caused the failure, so the passes of other connections stay.
    gate.grants.takeBack((pass) => pass.vm === vm.id && pass.peer === request.peer)
  }
  // Only the owner learns what else listens in a VM.
  if (!vm || user !== 'owner') return page(pages.notNow)
  return page(await nothingListens(gate, vm, portOf(target), request.host))
}

/** Whether a grant that admitted a request would still admit it. */
export function stillHolds(gate: Gate, { host, digest }: Grant): boolean {
  const target = targetOf(gate.box.store.state, host)
  if (!target) return false
  return digest === null ? isPublic(target) : whoIs(gate, host, target, digest) !== undefined
}

/** Whether a pass would still be given, and lead to the same upstream. */
export function isStillRight(gate: Gate, { vm: id, upstream, grant }: Pass): boolean {
  const target = targetOf(gate.box.store.state, grant.host)
  if (target?.vm?.id !== id || !stillHolds(gate, grant)) return false
  const port = portOf(target)
  return port === null || upstream === `${target.vm.ip}:${port}`
}

/** Returns the port that an address leads to; null for the VM's main port when none is set. */
const portOf = ({ vm, port }: Target): number | null => port ?? vm?.web.port ?? null

/** Whether the port behind an address is public. The plain address stands for the VM's main port, if one is set. */
function isPublic(target: Target): boolean {
  const port = portOf(target)
  return port !== null && (target.vm?.web.public.includes(port) ?? false)
}

/** Redirects to Croft's own address, where the owner's session is; it redirects back with a code for this host. */
function signIn({ front }: Gate, request: AuthRequest): Verdict {
  if (request.client !== 'page') return page({ ...pages.signInFirst, challenge: request.client === 'program' })
  const query = new URLSearchParams({ host: request.host, to: request.uri })
  // A session that has ended, the owner's or a guest's. Guests can't sign in, so the page tells them what to do.
  if (request.token !== undefined) query.set('was', 'in')
  return { kind: 'redirect', to: `//${hostOf(front(), 'croft')}${portSuffix(request.host)}/enter?${query}` }
}

/** Identifies the principal of a request, and returns the digest of the credential; null for a stranger. */
function whoComes(
  gate: Gate,
  host: string,
  target: Target,
  { token, secret }: AuthRequest,
): { principal: Principal; digest: string | null } {
  for (const each of [token, secret]) {
    if (each === undefined) continue
    const digest = digestOf(each)
    const principal = whoIs(gate, host, target, digest)
    if (principal) return { principal, digest }
  }
  return { principal: stranger, digest: null }
}

/**
 * Finds the principal of a digest: of a session at this host name, a link into this address, or a token. Undefined for
 * any other digest.
 */
function whoIs(gate: Gate, host: string, { vm, port }: Target, digest: string): Principal | undefined {
  const session = gate.sessions.find(host, digest)
  if (session) return ownerBy(session.signIn)
  const link = vm && gate.links.find(vm, port, digest)
  if (link) return guestBy(link)
  const token = gate.tokens.find(digest)
  if (token && (token.vm === null || token.vm === vm?.id) && (token.commands?.includes(webScope) ?? true))
    return tokenHolder(token)
  return undefined
}

/** Runs `work`, which redeems a code or a link, and rate-limits clients that bring many invalid ones. */
async function tried(
  gate: Gate,
  request: AuthRequest,
  { vm }: Target,
  work: () => Promise<Verdict | undefined>,
): Promise<Verdict> {
  const { from } = request.browser
  const noteTry = (outcome: Partial<Note>) =>
    gate.box.activity.note({ ...noteOf(request, vm, stranger, 'tried a link'), ...outcome })
  const seconds = gate.failures.wait(from)
  if (seconds > 0) {
    await noteTry(tooOften)
    return page(pages.tooMany(seconds))
  }
  const verdict = await work()
  if (verdict) return verdict
  gate.failures.fail(from)
  await noteTry(noSuchLink)
  return page(pages.linkIsOver)
}

/** Builds an entry of the activity log for a web request. Pure. */
function noteOf({ browser }: AuthRequest, vm: Vm | undefined, by: Principal, what: string): Note {
  const from = { way: 'web', address: browser.from, agent: browser.agent } as const
  return { by, from, what, vms: vm ? [{ id: vm.id, name: vm.name }] : [] }
}

/** Splits an untrusted URI into path and query. Pure. */
function partsOf(uri: string): { path: string; query: URLSearchParams } {
  const at = uri.indexOf('?')
  return at < 0
    ? { path: uri, query: new URLSearchParams() }
    : { path: uri.slice(0, at), query: new URLSearchParams(uri.slice(at + 1)) }
}

async function enter(
  { sessions }: Gate,
  host: string,
  query: URLSearchParams,
  browser: Browser,
): Promise<Verdict | undefined> {
  const token = await sessions.redeem(host, query.get('code') ?? '', browser)
  if (token === undefined) return undefined
  return { kind: 'redirect', to: localPath(query.get('to')), cookie: { token, seconds: sessionSeconds } }
}

/** Opens a share link. The owner who opens one stays the owner. */
async function openLink(
  gate: Gate,
  { vm, port }: Target,
  query: URLSearchParams,
  principal: Principal,
  request: AuthRequest,
): Promise<Verdict | undefined> {
  const token = query.get('key') ?? ''
  const link = vm && gate.links.find(vm, port, digestOf(token))
  if (!link) return undefined
  if (principal.kind === 'owner') return { kind: 'redirect', to: '/' }
  // Recorded once per browser: later requests carry the link's cookie.
  if (principal.id !== link.id) {
    await gate.box.activity.note(noteOf(request, vm, guestBy(link), `opened the share link ${link.id}`))
  }
  const seconds = Math.floor((Date.parse(link.expiresAt) - Date.now()) / 1000)
  return { kind: 'redirect', to: '/', cookie: { token, seconds } }
}

/**
 * Turns any target into a path on the same host, so that the gate is not an open redirect. Characters that a header
 * can't hold are percent-encoded. Pure.
 */
export function localPath(to: string | null): string {
  if (to === null || !/^\/(?![/\\])/.test(to) || /[\u0000-\u001f\\]/.test(to)) return '/'
  return to.toWellFormed().replace(/[^\x21-\x7e]/gu, encodeURIComponent)
}

/** Wakes the VM if needed. @returns a page if it is not awake in time, or can't wake */
async function awaken(box: Box, vm: Vm, request: AuthRequest, principal: Principal): Promise<pages.Page | undefined> {
  if (isAwake(box, vm.id)) return undefined
  const wakes = stateOf(box, vm) === 'asleep' && !isWaking(box, vm.id)
  const waking = ensureAwake(box, vm.id)
  if (wakes) box.activity.during(noteOf(request, vm, principal, 'woke it with a web request'), waking).catch(() => {})
  const woken = waking.then(
    () => undefined,
    (error) => {
      const { message, hint } = asCroftError(error)
      return pages.isOff(vm.name, message, hint?.match(/croft .*/)?.[0] ?? `croft start ${vm.name}`)
    },
  )
  if (request.client !== 'page') return woken
  const { promise, resolve } = Promise.withResolvers<pages.Page>()
  const timer = setTimeout(() => resolve(pages.waking(vm.name)), patienceMs)
  return Promise.race([woken, promise]).finally(() => clearTimeout(timer))
}

const page = (of: pages.Page): Verdict => ({ kind: 'page', page: of })

async function nothingListens(gate: Gate, vm: Vm, port: number | null, host: string): Promise<pages.Page> {
  const listening = await gate.ports.of(vm)
  const front = gate.front()
  const address = (each: number) => `//${hostOf(front, vm.name, each)}${portSuffix(host)}/`
  const web = listening.filter((each) => !serviceOn(each.port))
  const open = web.filter(({ loopback }) => !loopback).map((each) => ({ ...each, address: address(each.port) }))
  const hidden = web.filter(({ loopback }) => loopback).map((each) => each.port)
  return pages.nothingListens(vm.name, port, open, hidden)
}
