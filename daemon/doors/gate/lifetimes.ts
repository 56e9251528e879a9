import type { State, Store } from '../../store/index.ts'

/**
 * Has what lets somebody in (sessions, links, tokens) end after the time that it was given, however the clock of the box is
 * set: see `movedLifetimes`. What was made before this daemon started goes by the time of day.
 * @returns to be called when the clock was set, by how much
 */
export function keepLifetimes(store: Store): (byMs: number) => Promise<void> {
  let from = new Date()
  return async (byMs) => {
    const [began, to] = [from, new Date(Date.now() - byMs)]
    from = new Date(began.getTime() + byMs)
    await store.update((state) => movedLifetimes(state, began, to, byMs))
  }
}

/**
 * Moves the times of what lets somebody in along with the clock of the box, for all that was made between two moments: it
 * ends after the time that it was given, whichever of the clock's times was the right one. Pure.
 * @param from and `to`, by the clock as it was before it was set by so many milliseconds
 */
export function movedLifetimes(state: State, from: Date, to: Date, byMs: number): State {
  const moved = (iso: string) => new Date(Date.parse(iso) + byMs).toISOString()
  const move = <T extends { createdAt: string; expiresAt: string | null }>(records: Readonly<Record<string, T>>) =>
    Object.fromEntries(
      Object.entries(records).map(([key, each]): [string, T] => {
        const { createdAt, expiresAt } = each
        if (createdAt < from.toISOString() || createdAt > to.toISOString()) return [key, each]
        return [key, { ...each, createdAt: moved(createdAt), expiresAt: expiresAt && moved(expiresAt) }]
      }),
    )
  return { ...state, sessions: move(state.sessions), links: move(state.links), tokens: move(state.tokens) }
}
