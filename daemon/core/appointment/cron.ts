/** When the lines of crontabs are due. The format is Debian's: crontab(5). Everything here is pure. */

/** Finds how many minutes a zone is ahead of UTC at a moment, in ms since the epoch. */
export type OffsetAt = (at: number) => number

export interface Cron {
  minutes: readonly number[]
  hours: readonly number[]
  days: readonly number[]
  months: readonly number[]
  weekdays: readonly number[]
  /** Either of the fields for days begins with `*`: then both have to fit. Otherwise one is enough. */
  bothDays: boolean
}

const minuteMs = 60_000
const hourMs = 60 * minuteMs
const dayMs = 24 * hourMs
/** What is due later than this is not looked for. */
export const horizonMs = 366 * dayMs

const months = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']
const weekdays = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat']
const fields = [
  { from: 0, to: 59, names: [] },
  { from: 0, to: 23, names: [] },
  { from: 1, to: 31, names: [] },
  { from: 1, to: 12, names: months },
  { from: 0, to: 7, names: weekdays },
]
const nicknames: Readonly<Record<string, string>> = {
  '@yearly': '0 0 1 1 *',
  '@annually': '0 0 1 1 *',
  '@monthly': '0 0 1 * *',
  '@weekly': '0 0 * * 0',
  '@daily': '0 0 * * *',
  '@midnight': '0 0 * * *',
  '@hourly': '0 * * * *',
}

/** Splits a line into its times and the rest; undefined for a comment, a variable, `@reboot` and nonsense. */
export function parseLine(line: string): { cron: Cron; rest: string } | undefined {
  const [, times = '', rest = ''] =
    /^\s*(@[a-z]+|(?:[\d*][^\s=]*\s+){2}(?:[^\s=]+\s+){2}[^\s=]+)\s+(\S.*)$/.exec(line) ?? []
  const cron = parseTimes(nicknames[times] ?? times)
  return cron && { cron, rest }
}

/** Parses five fields: numbers, names, ranges, lists and steps. */
export function parseTimes(text: string): Cron | undefined {
  const words = text.split(/\s+/)
  const parsed = words.map((word, i) => fields[i] && parseField(word, fields[i]))
  if (parsed.length !== fields.length || parsed.some((each) => each === undefined)) return undefined
  const [inHour, inDay, inMonth, inYear, inWeek] = parsed as number[][]
  return {
    minutes: inHour!,
    hours: inDay!,
    days: inMonth!,
    months: inYear!,
    weekdays: inWeek!.map((day) => day % 7),
    bothDays: words[2]!.startsWith('*') || words[4]!.startsWith('*'),
  }
}

/** Returns the values of a field in ascending order. */
function parseField(text: string, { from, to, names }: (typeof fields)[number]): number[] | undefined {
  const found = new Set<number>()
  const numberOf = (word: string) => (/^\d{1,2}$/.test(word) ? Number(word) : from + names.indexOf(word.toLowerCase()))
  for (const part of text.split(',')) {
    const [, whole, first, last, step = '1'] = /^(?:(\*)|(\w+)(?:-(\w+))?)(?:\/(\d{1,2}))?$/.exec(part) ?? []
    if (!whole && !first) return undefined
    if (first && !last && part.includes('/')) return undefined
    const low = whole ? from : numberOf(first!)
    const high = whole ? to : last ? numberOf(last) : low
    if (!(low >= from && low <= high && high <= to && Number(step) > 0)) return undefined
    for (let value = low; value <= high; value += Number(step)) found.add(value)
  }
  return [...found].sort((a, b) => a - b)
}

/**
 * Returns the first moment after `after` at which a job runs, in ms since the epoch; undefined for none within a year.
 * At a change to summer time, a job in the hour that is left out counts as due at the earlier of its two possible
 * moments: early rather than late.
 */
export function nextRun(cron: Cron, after: number, offsetAt: OffsetAt): number | undefined {
  const local = after + offsetAt(after) * minuteMs
  // An hour before, because clocks that are set back show the same hour twice.
  const from = local - hourMs
  const today = Math.floor(from / dayMs) * dayMs
  for (let day = today; day <= today + horizonMs; day += dayMs) {
    if (!fitsDay(cron, new Date(day))) continue
    for (const hour of cron.hours) {
      if (day + (hour + 1) * hourMs <= from) continue
      for (const minute of cron.minutes) {
        const at = day + hour * hourMs + minute * minuteMs
        const found = at < from ? undefined : momentOf(at, after, offsetAt)
        if (found !== undefined) return found
      }
    }
  }
  return undefined
}

function fitsDay({ days, months, weekdays, bothDays }: Cron, date: Date): boolean {
  if (!months.includes(date.getUTCMonth() + 1)) return false
  const [inMonth, inWeek] = [days.includes(date.getUTCDate()), weekdays.includes(date.getUTCDay())]
  return bothDays ? inMonth && inWeek : inMonth || inWeek
}

/** The first moment after `after` at which a zone's clocks show `local`, which is written as if they showed UTC. */
function momentOf(local: number, after: number, offsetAt: OffsetAt): number | undefined {
  const offsets = [...new Set([offsetAt(local - dayMs), offsetAt(local + dayMs)])]
  const moments = offsets.map((offset) => ({ at: local - offset * minuteMs, offset })).sort((a, b) => a.at - b.at)
  const shown = moments.filter(({ at, offset }) => offsetAt(at) === offset)
  return (shown.length ? shown : moments).find(({ at }) => at > after)?.at
}

/**
 * Returns the offsets of a zone, with its changes to and from summer time. Where its name is unknown or does not agree
 * with the offset that it is said to have now, that one stays.
 * @param minutes ahead of UTC now
 */
export function offsetsOf(zone: string, minutes: number, now: number): OffsetAt {
  let format: Intl.DateTimeFormat
  try {
    format = new Intl.DateTimeFormat('en-US', { timeZone: zone, timeZoneName: 'longOffset' })
  } catch {
    return () => minutes
  }
  const known = new Map<number, number>()
  const offsetAt = (at: number) => {
    const quarter = Math.floor(at / (hourMs / 4))
    const found = known.get(quarter) ?? offsetIn(format.format(at))
    known.set(quarter, found)
    return found
  }
  return offsetAt(now) === minutes ? offsetAt : () => minutes
}

/** Reads the offset in `11/30/2026, GMT+05:30`, in minutes. */
function offsetIn(text: string): number {
  const [, sign, hours, minutes] = /GMT([+-])(\d\d):(\d\d)/.exec(text) ?? []
  return sign === undefined ? 0 : (sign === '-' ? -1 : 1) * (Number(hours) * 60 + Number(minutes))
}
