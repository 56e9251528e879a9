import type { Session, Store } from '../store/index.ts'
import { digestOf, newSecret } from './secret.ts'

/** How long a session lasts. */
export const sessionSeconds = 30 * 24 * 60 * 60
const codeMs = 10 * 60_000
/** Who has a link that was never opened takes no memory for ever. */
const mostCodes = 1000

interface Code {
  /** The host name that it lets into, without port. */
  host: string
  expiresAt: number
}

/**
 * Who is signed in where. A session is for one host name: what a VM's page does with its own can't reach another VM, nor
 * Croft. The store knows it by the digest of its token, so that reading the store lets nobody in. A code is a session to
 * be, for one use, within 10 minutes; it is kept in memory only.
 */
export class Sessions {
  readonly #store: Store
  readonly #clock: () => Date
  readonly #codes = new Map<string, Code>()

  constructor(store: Store, clock: () => Date = () => new Date()) {
    this.#store = store
    this.#clock = clock
  }

  /** A code that makes a session for a host name. */
  makeCode(host: string): string {
    for (const [digest, { expiresAt }] of this.#codes) {
      if (expiresAt < this.#clock().getTime() || this.#codes.size >= mostCodes) this.#codes.delete(digest)
    }
    const code = newSecret()
    this.#codes.set(digestOf(code), { host, expiresAt: this.#clock().getTime() + codeMs })
    return code
  }

  /** Whether a code would make a session; it is not used up. */
  isCode(host: string, code: string): boolean {
    const found = this.#codes.get(digestOf(code))
    return found !== undefined && found.host === host && found.expiresAt >= this.#clock().getTime()
  }

  /** Uses up a code. @returns the token of its session; undefined when it is none, used, late, or another host's */
  async redeem(host: string, code: string): Promise<string | undefined> {
    if (!this.isCode(host, code)) return undefined
    this.#codes.delete(digestOf(code))
    const token = newSecret()
    const now = this.#clock()
    const expiresAt = new Date(now.getTime() + sessionSeconds * 1000).toISOString()
    const session: Session = { host, createdAt: now.toISOString(), expiresAt }
    await this.#store.update((state) => {
      const alive = Object.entries(state.sessions).filter(([, each]) => each.expiresAt > now.toISOString())
      return { ...state, sessions: { ...Object.fromEntries(alive), [digestOf(token)]: session } }
    })
    return token
  }

  /** The session that a token is of, if it is one for this host name. */
  find(host: string, token: string): Session | undefined {
    const session = this.#store.state.sessions[digestOf(token)]
    return session?.host === host && session.expiresAt > this.#clock().toISOString() ? session : undefined
  }

  /** Ends every session and every code, everywhere. */
  async endAll(): Promise<void> {
    this.#codes.clear()
    await this.#store.update((state) => ({ ...state, sessions: {} }))
  }
}
