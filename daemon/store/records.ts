/**
 * Looks up the values of a record by something other than their key. The index is built once per record, because the
 * store's records are immutable.
 */
export function indexBy<T>(
  keyOf: (value: T) => string,
): (record: Readonly<Record<string, T>>, key: string) => T | undefined {
  const indexes = new WeakMap<object, Map<string, T>>()
  return (record, key) => {
    let index = indexes.get(record)
    if (!index) {
      index = new Map(Object.values(record).map((value) => [keyOf(value), value]))
      indexes.set(record, index)
    }
    return index.get(key)
  }
}

/** Filters the entries of a record. Pure. */
export function filterRecord<T>(
  record: Readonly<Record<string, T>>,
  keep: (value: T, key: string) => boolean,
): Record<string, T> {
  return Object.fromEntries(Object.entries(record).filter(([key, value]) => keep(value, key)))
}
