/**
 * Shares a measurement: callers that ask while it is under way, or within `ms` after it, get its result. Only callers
 * that waited for it get a failure.
 */
export function memoizeFor<T>(ms: number, measure: () => Promise<T>): () => Promise<T> {
  let held: { value: Promise<T>; until: number } | undefined
  return () => {
    if (held && performance.now() < held.until) return held.value
    const mine = { value: measure(), until: Number.POSITIVE_INFINITY }
    held = mine
    mine.value.then(
      () => {
        mine.until = performance.now() + ms
      },
      () => {
        mine.until = 0
      },
    )
    return mine.value
  }
}
