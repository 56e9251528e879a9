/** How many histories are kept. Certificates need a limit: each may carry a different name. */
const most = 100

/** The lines typed in the lobby, one history for each user. The least recently used history is dropped first. */
export class LobbyHistories {
  readonly #of = new Map<string, string[]>()

  /** @returns a user's lines, the latest first; the caller may add to the array */
  of(who: string): string[] {
    const lines = this.#of.get(who) ?? []
    this.#of.delete(who)
    this.#of.set(who, lines)
    if (this.#of.size > most) this.#of.delete(this.#of.keys().next().value!)
    return lines
  }
}
