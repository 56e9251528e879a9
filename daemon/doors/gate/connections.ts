import type { Peer } from '../../core/interfaces/web.ts'

/** What let a request in: a host name, and the digest of the session, link or token; null: the port is public. */
export interface Grant {
  host: string
  digest: string | null
}

/** How many there may be before it is looked which of them are closed, at least, and before the oldest are forgotten all the same. */
const many = 1_000
const most = 100_000

/**
 * The connections by which clients have been let in, each with what let them in: so that those that go on for long
 * (WebSockets, streams, downloads) end when that does.
 */
export class OpenConnections {
  readonly #grants = new Map<Peer, Map<string, Grant>>()
  /** Those that were open before this daemon was: nobody knows any more what let them in. */
  readonly #unknown: Set<Peer>
  /** How many were left when it was last looked which are closed. */
  #left = 0
  /** Called when there are so many that those that are closed should be forgotten. */
  onCrowded = () => {}

  constructor(open: Iterable<Peer> = []) {
    this.#unknown = new Set(open)
  }

  /** A request was let in by this connection. @returns whether one was before, by the same grant */
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

  /** @param open those that are not closed; by UDP that can't be seen, and they are kept */
  forgetClosed(open: ReadonlySet<Peer>): void {
    for (const peer of this.#grants.keys()) if (peer.startsWith('tcp') && !open.has(peer)) this.#grants.delete(peer)
    this.#left = this.#grants.size
  }

  /** Takes out those that something let in which does so no more. @param holds whether it still does */
  takeOver(holds: (grant: Grant) => boolean): Peer[] {
    const over = [...this.#grants].filter(([, grants]) => !grants.values().every(holds)).map(([peer]) => peer)
    for (const peer of over) this.#grants.delete(peer)
    return over
  }

  /** Whether there are some from before this daemon. */
  get someUnknown(): boolean {
    return this.#unknown.size > 0
  }

  /** Takes out those from before this daemon. */
  takeUnknown(): Peer[] {
    const unknown = [...this.#unknown]
    this.#unknown.clear()
    return unknown
  }
}
