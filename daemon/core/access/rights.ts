import type { State, Store } from '../../store/index.ts'

/** The kinds of records that grant access. */
const expiring = ['sessions', 'links', 'tokens'] as const
const kinds = [...expiring, 'keys', 'hosts', 'vms', 'web'] as const
type Rights = Pick<State, (typeof kinds)[number]>

/** The longest delay of a Node timer. */
const longestMs = 2 ** 31 - 1

/**
 * Calls `then` whenever a record that grants access has changed, and whenever a session, a link or a token expires.
 * @returns stops watching
 */
export function watchRights(store: Pick<Store, 'state' | 'watch'>, then: () => void): () => void {
  let timer: NodeJS.Timeout | undefined
  const wait = () => {
    clearTimeout(timer)
    const next = nextEnd(store.state, Date.now())
    if (next === undefined) return
    // One extra millisecond, as a timer may fire a moment early.
    timer = setTimeout(over, Math.min(longestMs, next - Date.now() + 1)).unref()
  }
  const over = () => {
    then()
    wait()
  }
  const unwatch = store.watch((before) => {
    if (!differ(kinds, before, store.state)) return
    then()
    // Setting the clock changes them too: see `movedLifetimes`.
    if (differ(expiring, before, store.state)) wait()
  })
  wait()
  return () => {
    unwatch()
    clearTimeout(timer)
  }
}

const differ = (among: readonly (keyof Rights)[], before: Rights, now: Rights): boolean =>
  among.some((kind) => before[kind] !== now[kind])

/** Returns when the next session, link or token expires, in ms since 1970; undefined when none will. Pure. */
export function nextEnd(rights: Rights, now: number): number | undefined {
  let next: number | undefined
  for (const kind of expiring)
    for (const { expiresAt } of Object.values(rights[kind])) {
      const at = expiresAt === null ? Number.POSITIVE_INFINITY : Date.parse(expiresAt)
      if (at > now && at < (next ?? Number.POSITIVE_INFINITY)) next = at
    }
  return next
}
