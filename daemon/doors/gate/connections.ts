import type { Peer } from '../../core/interfaces/web.ts'

/** What admitted a request: a host name, and the digest of the session, link or token; null for a public port. */
export interface Grant {
  host: string
  digest: string | null
}

/** Above `many` connections, closed ones are sometimes removed; above `most`, the oldest are evicted, open or not. */
const many = 1_000
const most = 100_000

/**
 * The client connections that were admitted, each with its grants, so that long-lived ones (WebSockets, streams,
 * downloads) end when a grant ends.
 */
export class OpenConnections {
  readonly #grants = new Map<Peer, Map<string, Grant>>()
  /** Connections that were open before this daemon started; their grants are unknown. */
  readonly #unknown: Set<Peer>
  /** How many were left when closed ones were last removed. */
  #left = 0
  /** Called when there are so many that those that are closed should be forgotten. */
  onCrowded = () => {}

  constructor(open: Iterable<Peer> = []) {
    this.#unknown = new Set(open)
  }

  /** Notes an admitted request. @returns whether the connection had an earlier request with the same grant */
  note(peer: Peer, grant: Grant): boolean {
    const key = `${grant.host} ${grant.digest ?? ''}`
    const known = this.#grants.get(peer)
    if (known?.has(key)) return true
    this.#unknown.delete(peer)
    this.#grants.set(peer, (known ?? new Map<string, Grant>()).set(key, grant))
    if (this.#crowded) this.onCrowded()
    if (this.#grants.size > most) this.#grants.delete(this.#grants.keys().next().value!)
    return false
  }

  /** More than twice what was left the last time. */
  get #crowded(): boolean {
    return this.#grants.size > Math.max(many, 2 * this.#left)
  }

  /** Forgets closed connections, except UDP ones, whose end can't be seen. @param open the connections that are open */
  forgetClosed(open: ReadonlySet<Peer>): void {
    for (const peer of this.#grants.keys()) if (peer.startsWith('tcp') && !open.has(peer)) this.#grants.delete(peer)
    this.#left = this.#grants.size
  }

  /** Removes and returns the connections with a grant that has ended. @param holds whether a grant still holds */
  takeOver(holds: (grant: Grant) => boolean): Peer[] {
    const over = [...this.#grants].filter(([, grants]) => !grants.values().every(holds)).map(([peer]) => peer)
    for (const peer of over) this.#grants.delete(peer)
    return over
  }

  /** Whether there are connections from before this daemon. */
  get someUnknown(): boolean {
    return this.#unknown.size > 0
  }

  /** Removes and returns the connections from before this daemon. */
  takeUnknown(): Peer[] {
    const unknown = [...this.#unknown]
    this.#unknown.clear()
    return unknown
  }
}
