/** How many are kept: of certificates, each may have a name of its own. */
const most = 100

/** What was typed before, by who typed it. Those that were used last are kept. */
export class LobbyHistories {
  readonly #of = new Map<string, string[]>()

  /** @returns the lines, the latest first, to which more may be added */
  of(who: string): string[] {
    const lines = this.#of.get(who) ?? []
    this.#of.delete(who)
    this.#of.set(who, lines)
    if (this.#of.size > most) this.#of.delete(this.#of.keys().next().value!)
    return lines
  }
}
