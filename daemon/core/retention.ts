/**
 * Returns the newest of each of the latest `count` periods that have one. Pure.
 * @param newestFirst times, as ISO 8601 in UTC @param period names the period of a time, such as its day
 */
export function newestOfLatest<T>(
  newestFirst: readonly T[],
  timeOf: (each: T) => string,
  count: number,
  period: (iso: string) => string,
): T[] {
  const periodOf = (each: T) => period(timeOf(each))
  return newestFirst.filter((each, i) => i === 0 || periodOf(each) !== periodOf(newestFirst[i - 1]!)).slice(0, count)
}

/** The hour, the day and the month of an ISO time, in UTC: 2026-11-24T22, 2026-11-24 and 2026-11. */
export const hourOf = (iso: string): string => iso.slice(0, 13)
export const dayOf = (iso: string): string => iso.slice(0, 10)
export const monthOf = (iso: string): string => iso.slice(0, 7)

/** The Monday of the week of an ISO time, in UTC, as a date. */
export function weekOf(iso: string): string {
  const date = new Date(`${dayOf(iso)}T00:00:00Z`)
  date.setUTCDate(date.getUTCDate() - ((date.getUTCDay() + 6) % 7))
  return dayOf(date.toISOString())
}
