import { horizonMs } from '../../core/appointment/cron.ts'
import { CroftError } from '../../lib/error.ts'

const unitMs = { m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/**
 * Reads a time of day, in the time zone of the box, as its next occurrence; a duration; or an ISO time.
 * @throws CroftError `bad-value` when it is over, more than a year away, or no date
 */
export function timeOf(text: string, now: Date): Date {
  const [, hours, mins] = /^(\d+):(\d\d)$/.exec(text) ?? []
  const at = new Date(now)
  if (hours) {
    at.setHours(Number(hours), Number(mins), 0, 0)
    if (at <= now) at.setDate(at.getDate() + 1)
  } else if (/^\d+[mhd]$/.test(text)) {
    at.setTime(now.getTime() + Number.parseInt(text, 10) * unitMs[text.at(-1) as keyof typeof unitMs])
  } else {
    at.setTime(Date.parse(text))
  }
  const leftMs = at.getTime() - now.getTime()
  if (leftMs > 0 && leftMs <= horizonMs) return at
  const why = leftMs <= 0 ? 'is over' : leftMs > horizonMs ? 'is more than a year away' : 'is no date'
  throw new CroftError('bad-value', `${text} ${why}.`, { argument: 'until' })
}
