import type { State, Store } from '../../store/index.ts'

/** The records that say who may do what. */
const kinds = ['sessions', 'links', 'tokens', 'keys', 'hosts', 'vms', 'web'] as const
type Rights = Pick<State, (typeof kinds)[number]>

/** The longest that a timer of Node's runs. */
const longestMs = 2 ** 31 - 1

/**
 * Calls `then` whenever something that lets somebody in has changed, and when the time of a session, a link or a token is
 * over. @returns ends that
 */
export function watchRights(store: Pick<Store, 'state' | 'watch'>, then: () => void): () => void {
  let timer: NodeJS.Timeout | undefined
  const wait = () => {
    clearTimeout(timer)
    const next = nextEnd(store.state, Date.now())
    if (next === undefined) return
    // It may come a moment early; what has no more than that to go has ended for us.
    timer = setTimeout(over, Math.min(longestMs, next - Date.now() + 1)).unref()
  }
  const over = () => {
    then()
    wait()
  }
  const unwatch = store.watch((before) => {
    if (!differ(before, store.state)) return
    then()
    wait()
  })
  wait()
  return () => {
    unwatch()
    clearTimeout(timer)
  }
}

const differ = (before: Rights, now: Rights): boolean => kinds.some((kind) => before[kind] !== now[kind])

/** When the next of what lets somebody in ends by itself, in ms since 1970. Pure. */
export function nextEnd({ sessions, links, tokens }: Rights, now: number): number | undefined {
  let next: number | undefined
  for (const records of [sessions, links, tokens])
    for (const { expiresAt } of Object.values(records)) {
      const at = expiresAt === null ? Number.POSITIVE_INFINITY : Date.parse(expiresAt)
      if (at > now && at < (next ?? Number.POSITIVE_INFINITY)) next = at
    }
  return next
}
