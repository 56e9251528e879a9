import type { SignIn } from '../../core/interfaces/web.ts'
import { makeId } from '../../core/vm/identity.ts'
import { digestOf, newSecret } from '../../lib/secret.ts'
import { filterRecord, indexBy, type Session, type Store } from '../../store/index.ts'

const byHost = indexBy((session: Session) => session.host)

/** How long a session lasts. */
export const sessionSeconds = 30 * 24 * 60 * 60
const codeMs = 10 * 60_000
/** Limits the memory for codes that are never used. */
const mostCodes = 1000
/** Concurrent sign-ins: a program that signs in every minute would have 43,000 within 30 days. */
const mostSignIns = 1000
/**
 * Sessions of one sign-in at one host name: a browser keeps the cookie of one, but tabs that open together create more.
 */
const mostAtHost = 20

interface Code {
  /** The host name that it is for, without port. */
  host: string
  /** The sign-in that its session will belong to; undefined to start a new sign-in. */
  signIn: string | undefined
  /** By the steady clock. */
  until: number
}

/** The browser that brings a code: its User-Agent, and the address that it comes from. */
export type Browser = Pick<Session, 'agent' | 'from'>

/**
 * The sessions of signed-in browsers. A session is for one host name, so that a VM's page can't use it to reach another
 * VM or Croft. It belongs to a sign-in and ends with it. The store keeps only the digest of its token, so that reading
 * the store gives nobody access. A code can be redeemed for one session, once, within 10 minutes; codes are kept only
 * in memory.
 */
export class Sessions {
  readonly #store: Store
  readonly #clock: () => Date
  readonly #steady: () => number
  readonly #codes = new Map<string, Code>()

  /** @param clock the time of day @param steady milliseconds of a monotonic clock */
  constructor(store: Store, clock: () => Date = () => new Date(), steady: () => number = () => performance.now()) {
    this.#store = store
    this.#clock = clock
    this.#steady = steady
  }

  /**
   * Makes a code for a session at a host name.
   * @param signIn the sign-in that it belongs to; undefined for a new one
   */
  makeCode(host: string, signIn?: string): string {
    for (const [digest, { until }] of this.#codes) {
      if (until < this.#steady() || this.#codes.size >= mostCodes) this.#codes.delete(digest)
    }
    const code = newSecret()
    this.#codes.set(digestOf(code), { host, signIn, until: this.#steady() + codeMs })
    return code
  }

  /** Whether a code is valid. Does not use it up. */
  isCode(host: string, code: string): boolean {
    const found = this.#codes.get(digestOf(code))
    return found !== undefined && found.host === host && found.until >= this.#steady()
  }

  /**
   * Redeems a code.
   * @returns the token of its session; undefined if the code is unknown, used, expired or another host's
   */
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
      // The sign-in may have ended in the meantime.
      if (signIn !== undefined && !Object.values(state.sessions).some((each) => each.id === signIn)) return state
      const alive = filterRecord(state.sessions, (each) => this.#isAlive(each))
      return { ...state, sessions: { ...besideNew(alive, session), [digestOf(token)]: session } }
    })
    return token
  }

  /** Finds the session by the digest of its token, if it is for this host name. */
  find(host: string, digest: string): Session | undefined {
    const session = this.#store.state.sessions[digest]
    return session?.host === host && this.#isAlive(session) ? session : undefined
  }

  /** Whether there is a session at this host name. */
  hasBeenAt(host: string): boolean {
    return byHost(this.#store.state.sessions, host) !== undefined
  }

  /** Returns the sign-ins, each with the host names that it has opened since then. */
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

/** Returns the sessions to keep when a new one begins; beyond the limits, the oldest are evicted. Pure. */
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
