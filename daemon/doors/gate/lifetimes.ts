import type { State, Store } from '../../store/index.ts'

/**
 * Makes sessions, links and tokens last as long as they were meant to, even when the clock of the box is set: see
 * `movedLifetimes`. Those from before this daemon started go by the time of day.
 * @returns a function to call when the clock was set, with the difference
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
 * Shifts the times of sessions, links and tokens created between `from` and `to` along with the clock of the box, so
 * that they keep their lifetime whichever setting of the clock was right. Pure.
 * @param from like `to`, by the clock before it was set @param byMs how far the clock was set
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
