/**
 * Returns `now` with every unchanged item replaced by its object in `before`, and `before` itself when nothing differs.
 * What is drawn of unchanged objects is not drawn again. Pure.
 */
export function kept<T extends { readonly id: string }>(
  before: readonly T[] | undefined,
  now: readonly T[],
): readonly T[] {
  if (!before) return now
  const known = new Map(before.map((each) => [each.id, each]))
  const all = now.map((each) => {
    const old = known.get(each.id)
    return old && same(old, each) ? old : each
  })
  return all.length === before.length && all.every((each, i) => each === before[i]) ? before : all
}

/** Whether two JSON values are equal. */
function same(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || !a || !b || Array.isArray(a) !== Array.isArray(b)) return false
  const keys = Object.keys(a)
  return (
    keys.length === Object.keys(b).length &&
    keys.every((key) => key in b && same((a as Record<string, unknown>)[key], (b as Record<string, unknown>)[key]))
  )
}
