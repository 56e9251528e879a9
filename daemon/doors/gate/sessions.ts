import type { SignIn } from '../../core/interfaces/web.ts'
import { makeId } from '../../core/vm/identity.ts'
import { digestOf, newSecret } from '../../lib/secret.ts'
import { filterRecord, indexBy, type Session, type Store } from '../../store/index.ts'

const byHost = indexBy((session: Session) => session.host)

/** How long a session lasts. */
export const sessionSeconds = 30 * 24 * 60 * 60
const codeMs = 10 * 60_000
/** Who has a link that was never opened takes no memory for ever. */
const mostCodes = 1000
/** Sign-ins at a time: a program that makes one each minute would have 43,000 within 30 days. */
const mostSignIns = 1000
/** Sessions of one sign-in at one host name: its browser has a cookie for one, and tabs that open at once make more. */
const mostAtHost = 20

interface Code {
  /** The host name that it lets into, without port. */
  host: string
  /** The sign-in that its session will belong to; undefined when it is one of its own. */
  signIn: string | undefined
  /** By the steady clock. */
  until: number
}

/** Who comes with a code, as he says himself. */
export type Browser = Pick<Session, 'agent' | 'from'>

/**
 * Who is signed in where. A session is for one host name: what a VM's page does with its own can't reach another VM, nor
 * Croft. It belongs to the sign-in that it came from, and ends with it. The store knows it by the digest of its token, so
 * that reading the store lets nobody in. A code is a session to be, for one use, within 10 minutes; it is kept in memory only.
 */
export class Sessions {
  readonly #store: Store
  readonly #clock: () => Date
  readonly #steady: () => number
  readonly #codes = new Map<string, Code>()

  /** @param clock the time of day @param steady milliseconds by a clock that nobody sets */
  constructor(store: Store, clock: () => Date = () => new Date(), steady: () => number = () => performance.now()) {
    this.#store = store
    this.#clock = clock
    this.#steady = steady
  }

  /** A code that makes a session for a host name. @param signIn the session that asks for it; none: it is a sign-in */
  makeCode(host: string, signIn?: string): string {
    for (const [digest, { until }] of this.#codes) {
      if (until < this.#steady() || this.#codes.size >= mostCodes) this.#codes.delete(digest)
    }
    const code = newSecret()
    this.#codes.set(digestOf(code), { host, signIn, until: this.#steady() + codeMs })
    return code
  }

  /** Whether a code would make a session; it is not used up. */
  isCode(host: string, code: string): boolean {
    const found = this.#codes.get(digestOf(code))
    return found !== undefined && found.host === host && found.until >= this.#steady()
  }

  /** Uses up a code. @returns the token of its session; undefined when it is none, used, late, or another host's */
  async redeem(host: string, code: string, { agent, from }: Browser): Promise<string | undefined> {
    if (!this.isCode(host, code)) return undefined
    const { signIn } = this.#codes.get(digestOf(code))!
    this.#codes.delete(digestOf(code))
    const token = newSecret()
    const now = this.#clock()
    const expiresAt = new Date(now.getTime() + sessionSeconds * 1000).toISOString()
    const id = makeId('ses')
    const session: Session = {
      id,
      host,
      signIn: signIn ?? id,
      agent: agent.slice(0, 300),
      from,
      createdAt: now.toISOString(),
      expiresAt,
    }
    await this.#store.update((state) => {
      // Whoever was signed out meanwhile gets no further.
      if (signIn !== undefined && !Object.values(state.sessions).some((each) => each.id === signIn)) return state
      const alive = filterRecord(state.sessions, (each) => this.#isAlive(each))
      return { ...state, sessions: { ...besideNew(alive, session), [digestOf(token)]: session } }
    })
    return token
  }

  /** The session that a token's digest is of, if it is one for this host name. */
  find(host: string, digest: string): Session | undefined {
    const session = this.#store.state.sessions[digest]
    return session?.host === host && this.#isAlive(session) ? session : undefined
  }

  /** Whether somebody is signed in at this host name. */
  hasBeenAt(host: string): boolean {
    return byHost(this.#store.state.sessions, host) !== undefined
  }

  /** Those that were signed in to, each with the host names that it has opened since. */
  signIns(): SignIn[] {
    const alive = Object.values(this.#store.state.sessions).filter((each) => this.#isAlive(each))
    return alive
      .filter(({ id, signIn }) => id === signIn)
      .map((each) => ({ ...each, hosts: alive.filter(({ signIn }) => signIn === each.id).map(({ host }) => host) }))
  }

  /** Ends a sign-in and every session that came from it. */
  async end(id: string): Promise<void> {
    for (const [digest, { signIn }] of this.#codes) if (signIn === id) this.#codes.delete(digest)
    await this.#store.update((state) => ({
      ...state,
      sessions: filterRecord(state.sessions, ({ signIn }) => signIn !== id),
    }))
  }

  /** Ends every session and every code, everywhere. */
  async endAll(): Promise<void> {
    this.#codes.clear()
    await this.#store.update((state) => ({ ...state, sessions: {} }))
  }

  #isAlive({ expiresAt }: Session): boolean {
    return expiresAt > this.#clock().toISOString()
  }
}

/** Those that stay when a session begins, in the order in which they came: the oldest make room. Pure. */
function besideNew(
  sessions: Readonly<Record<string, Session>>,
  { id, signIn, host }: Session,
): Record<string, Session> {
  const all = Object.values(sessions)
  const before = all.filter((each) => each.signIn === signIn && each.host === host)
  const over = new Set(before.slice(0, 1 - mostAtHost).map((each) => each.id))
  const signIns = all.filter((each) => each.id === each.signIn)
  const room = id === signIn ? mostSignIns - 1 : mostSignIns
  const ended = new Set(signIns.slice(0, Math.max(0, signIns.length - room)).map((each) => each.id))
  return filterRecord(sessions, (each) => !over.has(each.id) && !ended.has(each.signIn))
}
