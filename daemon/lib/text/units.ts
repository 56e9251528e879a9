/** Formats numbers for people. */

/** 1.4 GB, 212 MB: powers of 1000, at most one decimal below 10. */
export function bytes(count: number): string {
  const { value, unit, prefix } = scaled(count)
  return `${value < 9.95 && unit > 0 ? value.toFixed(1) : Math.round(value)} ${prefix}B`
}

/** 100 Mbit/s, 2.5 MB/s: a rate that was given as a round number. */
export function perSecond(count: number, of: 'bit' | 'B'): string {
  const { value, prefix } = scaled(count)
  return `${Number(value.toPrecision(3))} ${prefix}${of}/s`
}

function scaled(count: number): { value: number; unit: number; prefix: string } {
  const prefixes = ['', 'k', 'M', 'G', 'T', 'P']
  let unit = 0
  let value = count
  while (value >= 999.5 && unit < prefixes.length - 1) {
    value /= 1000
    unit++
  }
  return { value, unit, prefix: prefixes[unit]! }
}

/** A size of memory or disk that was given in binary units. */
export function mebibytes(count: number): string {
  return count >= 1024 && count % 1024 === 0 ? `${count / 1024} GiB` : `${count} MiB`
}

export function seconds(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`
  if (ms < 100_000) return `${(ms / 1000).toFixed(1)} s`
  return `${Math.round(ms / 60_000)} min`
}

/** 3 s, 90 min, 2 h: a span that was given in minutes. */
export function minutes(count: number): string {
  const whole = Math.round(count)
  if (count < 1) return `${Math.round(count * 60)} s`
  return whole >= 120 && whole % 60 === 0 ? `${whole / 60} h` : `${whole} min`
}

/** A number of things: `1 file`, `3 files`. */
export const count = (number: number, what: string): string => `${number} ${what}${number === 1 ? '' : 's'}`

/** An interval to follow "every": `day`, `6 hours`, `90 minutes`. */
export function interval(minutes: number): string {
  const days = minutes / 1440
  const hours = minutes / 60
  const [number, unit] = Number.isInteger(days)
    ? [days, 'day']
    : Number.isInteger(hours)
      ? [hours, 'hour']
      : [minutes, 'minute']
  return number === 1 ? unit : count(number, unit)
}

/** ▰▰▰▱▱▱▱▱: a fraction, from 0 to 1. */
export function bar(fraction: number): string {
  const filled = Math.round(Math.min(1, Math.max(0, fraction)) * 8)
  return '▰'.repeat(filled) + '▱'.repeat(8 - filled)
}

const clock = { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' } as const
const forms = {
  /** 25 Nov 2026, 14:05 */
  whole: { dateStyle: 'medium', timeStyle: 'short' },
  /** 14:05 */
  clock,
  /** Wed 25 Nov, 14:05 */
  lately: { weekday: 'short', day: 'numeric', month: 'short', ...clock },
  /** Wed 25 */
  weekday: { weekday: 'short', day: 'numeric' },
  /** 25 Nov */
  day: { day: 'numeric', month: 'short' },
} as const satisfies Record<string, Intl.DateTimeFormatOptions>

/** An exact time, in the reader's time zone. */
export const moment = (at: Date, form: keyof typeof forms = 'whole'): string => at.toLocaleString('en-GB', forms[form])

/** in 3 min, in 14 days; over, for a time in the past. */
export function until(iso: string, now: Date): string {
  const s = (Date.parse(iso) - now.getTime()) / 1000
  if (s <= 0) return 'over'
  if (s < 3600) return `in ${Math.ceil(s / 60)} min`
  if (s < 2 * 86_400) return `in ${Math.round(s / 3600)} h`
  return `in ${Math.round(s / 86_400)} days`
}

/** 3 min ago, 14 days ago. */
export function ago(iso: string, now: Date): string {
  const s = Math.max(0, (now.getTime() - Date.parse(iso)) / 1000)
  if (s < 60) return 'just now'
  if (s < 3600) return `${Math.floor(s / 60)} min ago`
  if (s < 86_400) return `${Math.floor(s / 3600)} h ago`
  const days = Math.floor(s / 86_400)
  return days === 1 ? 'yesterday' : `${days} days ago`
}
