import type { Box } from '../box/box.ts'
import { findVm, imageOf, stateOf, vmsOf } from '../box/box.ts'
import { ensureAwake } from '../box/sleep.ts'
import { asCroftError } from '../error.ts'
import type { Vm } from '../store/index.ts'
import type { Links } from './links.ts'
import { type Listening, listeningScript, mainPort, parseListening } from './listening.ts'
import * as pages from './pages.ts'
import { hostName, placeOf, portSuffix } from './place.ts'
import { type Sessions, sessionSeconds } from './sessions.ts'
import type { Tries } from './tries.ts'

/** A request as the gate is asked about it. What the client said is data, whatever it is. */
export interface Visit {
  host: string
  /** Path and query. */
  uri: string
  /** Whether a person's browser waits for a page. */
  page: boolean
  /** The token of the session cookie. */
  token: string | undefined
  /** The address that it comes from. */
  from: string
}

export type Verdict =
  /** On to the VM: `upstream` is `address:port`. */
  | { kind: 'pass'; upstream: string; visitor: Visitor }
  /** `cookie`: the token of a session that begins, and for how long. */
  | { kind: 'redirect'; to: string; cookie?: { token: string; seconds: number } }
  | { kind: 'page'; page: pages.Page }

/** Who comes. `user` is empty when that is not known; `name` is that of a guest, who was given a link with it. */
export interface Visitor {
  user: 'owner' | 'guest' | ''
  name: string
}

export interface Gate {
  box: Box
  sessions: Sessions
  links: Links
  tries: Tries
  domain: string
}

/** The paths on every VM's address that are the gate's own. */
const enterPath = '/.croft/enter'
export const linkPath = '/.croft/link'

const nobody: Visitor = { user: '', name: '' }

/** How long a browser waits for a VM to wake before it gets a page that says so. */
const patienceMs = 2_000

/** What becomes of a request for a VM's address. */
export async function decide(gate: Gate, visit: Visit): Promise<Verdict> {
  const place = placeOf(visit.host, gate.domain)
  if (place?.kind !== 'vm') return page(pages.nothingHere)
  const host = hostName(visit.host)
  const { path, query } = partsOf(visit.uri)
  const vm = vmsOf(gate.box.store.state).find((each) => each.name === place.name)
  const visitor = whoIs(gate, host, vm, place.port, visit.token)
  if (path === enterPath) return tried(gate, visit, () => enter(gate, host, query))
  if (path === linkPath) return tried(gate, visit, async () => openLink(gate, vm, place.port, query, visitor))
  // Whether there is such a VM is nobody's to know who may not enter it.
  if (!visitor.user && !(vm && isPublic(vm, place.port))) return signIn(gate, visit)
  if (!vm) return page(pages.nothingHere)
  const away = await awaken(gate.box, vm, visit.page)
  if (away) return page(visitor.user === 'owner' || away.refresh ? away : pages.notNow)
  gate.box.uses.note(vm.id, 'a web request')
  const port = place.port ?? vm.web.port ?? (await findMainPort(gate.box, vm))
  if (port === undefined)
    return page(visitor.user === 'owner' ? await nothingListens(gate, vm, null, visit.host) : pages.notNow)
  return { kind: 'pass', upstream: `${vm.ip}:${port}`, visitor }
}

/**
 * What is said when a VM that a request was passed on to did not answer.
 * @param user as whom it was passed on
 */
export async function explain(gate: Gate, visit: Visit, user: string): Promise<Verdict> {
  const place = placeOf(visit.host, gate.domain)
  const vm = place?.kind === 'vm' && vmsOf(gate.box.store.state).find((each) => each.name === place.name)
  // What else there is in a VM is its owner's to know.
  if (!vm || user !== 'owner') return page(pages.notNow)
  return page(await nothingListens(gate, vm, place.port ?? vm.web.port, visit.host))
}

/** A public port opens that port alone; the plain address is its VM's main port, where one has been set. */
function isPublic(vm: Vm, port: number | null): boolean {
  const meant = port ?? vm.web.port
  return meant !== null && vm.web.public.includes(meant)
}

/** By way of Croft's own address, where the owner's session is, and back with a code for this one. */
function signIn({ domain }: Gate, visit: Visit): Verdict {
  if (!visit.page) return page(pages.signInFirst)
  const query = new URLSearchParams({ host: visit.host, to: visit.uri })
  return { kind: 'redirect', to: `//croft.${domain}${portSuffix(visit.host)}/enter?${query}` }
}

function whoIs(
  { sessions, links }: Gate,
  host: string,
  vm: Vm | undefined,
  port: number | null,
  token?: string,
): Visitor {
  if (token === undefined) return nobody
  if (sessions.find(host, token)) return { user: 'owner', name: '' }
  const link = vm && links.find(vm, port, token)
  return link ? { user: 'guest', name: link.name } : nobody
}

/** What takes a code or a link: who brings many that are none waits. */
async function tried({ tries }: Gate, { from }: Visit, work: () => Promise<Verdict | undefined>): Promise<Verdict> {
  const seconds = tries.wait(from)
  if (seconds > 0) return page(pages.tooMany(seconds))
  const verdict = await work()
  if (verdict) return verdict
  tries.fail(from)
  return page(pages.linkIsOver)
}

/** Path and query of what was asked for, whatever it is. Pure. */
function partsOf(uri: string): { path: string; query: URLSearchParams } {
  const at = uri.indexOf('?')
  return at < 0
    ? { path: uri, query: new URLSearchParams() }
    : { path: uri.slice(0, at), query: new URLSearchParams(uri.slice(at + 1)) }
}

async function enter({ sessions }: Gate, host: string, query: URLSearchParams): Promise<Verdict | undefined> {
  const token = await sessions.redeem(host, query.get('code') ?? '')
  if (token === undefined) return undefined
  return { kind: 'redirect', to: localPath(query.get('to')), cookie: { token, seconds: sessionSeconds } }
}

/** The owner who opens a link stays the owner. */
function openLink(
  { links }: Gate,
  vm: Vm | undefined,
  port: number | null,
  query: URLSearchParams,
  visitor: Visitor,
): Verdict | undefined {
  const token = query.get('key') ?? ''
  const link = vm && links.find(vm, port, token)
  if (!link) return undefined
  if (visitor.user === 'owner') return { kind: 'redirect', to: '/' }
  const seconds = Math.floor((Date.parse(link.expiresAt) - Date.now()) / 1000)
  return { kind: 'redirect', to: '/', cookie: { token, seconds } }
}

/** A path on the same host, whatever was asked for: nobody is sent elsewhere from here. Pure. */
export function localPath(to: string | null): string {
  if (to === null || !/^\/(?![/\\])/.test(to) || /[\u0000-\u001f\\]/.test(to)) return '/'
  return to
}

/** @returns a page instead, when the VM is not there yet or can't be */
async function awaken(box: Box, vm: Vm, browser: boolean): Promise<pages.Page | undefined> {
  if (stateOf(box, vm) === 'awake') return undefined
  const woken = ensureAwake(box, vm.id).then(
    () => undefined,
    (error) => {
      const { message, hint } = asCroftError(error)
      return pages.isOff(vm.name, message, hint?.match(/croft .*/)?.[0] ?? `croft start ${vm.name}`)
    },
  )
  if (!browser) return woken
  const { promise, resolve } = Promise.withResolvers<pages.Page>()
  const timer = setTimeout(() => resolve(pages.waking(vm.name)), patienceMs)
  return Promise.race([woken, promise]).finally(() => clearTimeout(timer))
}

const page = (of: pages.Page): Verdict => ({ kind: 'page', page: of })

/** How long what a guest listens on is taken to stay so. */
const freshMs = 2_000
const known = new WeakMap<Box, Map<string, { at: number; ports: Promise<Listening[]> }>>()

/** What a guest listens on, asked of itself; whoever asks meanwhile, or soon after, gets the same. */
export function listeningIn(box: Box, vm: Vm): Promise<Listening[]> {
  const cache = known.get(box) ?? new Map<string, { at: number; ports: Promise<Listening[]> }>()
  known.set(box, cache)
  const now = performance.now()
  const found = cache.get(vm.id)
  if (found && now - found.at < freshMs) return found.ports
  const ports = box.guests.script(vm.uuid, listeningScript, 10_000).then(
    ({ stdout }) => parseListening(stdout),
    () => [],
  )
  for (const [id, { at }] of cache) if (now - at >= freshMs) cache.delete(id)
  cache.set(vm.id, { at: now, ports })
  return ports
}

export async function findMainPort(box: Box, vm: Vm): Promise<number | undefined> {
  const current = findVm(box.store.state, vm.id)
  return mainPort(await listeningIn(box, current), imageOf(box.store.state, current).ports)
}

async function nothingListens(gate: Gate, vm: Vm, port: number | null, host: string): Promise<pages.Page> {
  const listening = await listeningIn(gate.box, vm)
  const address = (each: number) => `//${vm.name}-${each}.${gate.domain}${portSuffix(host)}/`
  const open = listening.filter(({ loopback }) => !loopback).map((each) => ({ ...each, address: address(each.port) }))
  const hidden = listening.filter(({ loopback }) => loopback).map((each) => each.port)
  return pages.nothingListens(vm.name, port, open, hidden)
}
