import { z } from 'zod'
import { remotesIn } from '../../lib/text/sockets.ts'
import type { Appointment } from '../../store/index.ts'
import { horizonMs, nextRun, type OffsetAt, offsetsOf, parseLine } from './cron.ts'
import { isChore } from './housekeeping.ts'

/**
 * Asks a guest, in sh, for its timers, crontabs, `at` jobs and open connections. Each part of the answer begins with a
 * line `@@ name`, and is bounded; what the guest does not have is left out. Timers that have no calendar count the time
 * that the guest is awake, so `calendars` names those that do. Crontabs count only where a cron runs.
 */
export const question = `exec 2>/dev/null
export LC_ALL=C
part() { echo "@@ $1"; head -c 65536; echo; }
running() { cat /proc/[0-9]*/comm | grep -qxE "$1"; }
date +%z | part offset
readlink -f /etc/localtime | part zone
grep -hE '^ *[0-9]+: [0-9A-F]+:[0-9A-F]+ [0-9A-F]+:[0-9A-F]+ 01 ' /proc/net/tcp /proc/net/tcp6 | part sockets
if [ -d /run/systemd/system ]; then
  timeout 5 systemctl list-timers --all --output=json | part timers
  timeout 5 systemctl show -p Id -p TimersCalendar '*.timer' | part calendars
fi
if running 'cron|crond'; then
  for file in /etc/crontab /etc/cron.d/* /var/spool/cron/crontabs/*; do
    [ -f "$file" ] && { echo "@ $file"; cat "$file"; echo; }
  done | part cron
  for file in /etc/cron.hourly/* /etc/cron.daily/* /etc/cron.weekly/* /etc/cron.monthly/*; do
    [ -f "$file" ] && echo "$file"
  done | part scripts
fi
if running atd; then timeout 5 atq -o %s | part at; fi
:
`

/** What a guest says before it sleeps: the first thing that is due in it, and where it is connected to, if anywhere. */
export interface Answer {
  appointment: Appointment | null
  connection: string | undefined
  /** What of it made no sense. */
  wrong: string | undefined
}

const mostAnswer = 1_000_000
const mostLines = 300
const timersSchema = z.array(z.object({ next: z.number().nullish(), unit: z.string() })).max(1000)

/**
 * Parses the answer to `question`. The guest is not trusted: whatever it says, this gives an appointment within a year
 * or none. Pure.
 * @param own addresses that are the guest itself or the box
 */
export function parseAnswer(text: string, own: ReadonlySet<string>, now: number): Answer {
  if (text.length > mostAnswer) return { appointment: null, connection: undefined, wrong: 'it is too long' }
  const parts = new Map(
    text.split(/^@@ /m).map((part) => [/^[a-z]*/.exec(part)![0], part.slice(part.indexOf('\n') + 1).trimEnd()]),
  )
  const of = (name: string) => parts.get(name) ?? ''
  const timers = readTimers(of('timers'), of('calendars'))
  const due = [...(timers ?? []), ...cronJobs(of('cron'), of('scripts'), now, offsets(of('offset'), of('zone'), now))]
  due.push(...atJobs(of('at')))
  return {
    appointment: earliest(due, now),
    connection: connections(of('sockets'), own)[0],
    wrong: timers ? undefined : 'the list of its timers can’t be read',
  }
}

interface Due {
  /** In ms since the epoch. */
  at: number
  what: string
}

/** The first that is still to come, within a year. Pure. */
export function earliest(due: readonly Due[], now: number): Appointment | null {
  const coming = due.filter(({ at }) => at > now && at <= now + horizonMs).sort((a, b) => a.at - b.at)
  const [first] = coming
  return first ? { at: new Date(first.at).toISOString(), what: first.what } : null
}

/** Undefined when the list makes no sense. */
function readTimers(text: string, calendars: string): Due[] | undefined {
  if (text === '') return []
  let raw: unknown
  try {
    raw = JSON.parse(text)
  } catch {
    return undefined
  }
  const { data } = timersSchema.safeParse(raw)
  const counted = new Set(
    calendars.split('\n\n').flatMap((block) => (/^TimersCalendar=/m.test(block) ? /^Id=(.*)$/m.exec(block)![1]! : [])),
  )
  return data?.flatMap(({ next, unit }) => {
    const isOne = next && /^[\w:.\\@-]{1,80}\.timer$/.test(unit) && counted.has(unit) && !isChore(unit)
    return isOne ? [{ at: next / 1000, what: unit }] : []
  })
}

function offsets(offset: string, zone: string, now: number): OffsetAt {
  const [, sign, hours, minutes] = /^([+-])(\d\d)(\d\d)$/.exec(offset) ?? []
  const told = (sign === '-' ? -1 : 1) * (Number(hours ?? 0) * 60 + Number(minutes ?? 0))
  const [, name = 'UTC'] = /^\/usr\/share\/zoneinfo\/([\w/+-]{1,60})$/.exec(zone) ?? []
  return offsetsOf(name, told, now)
}

const runParts = /run-parts\b.*\/etc\/cron\.(hourly|daily|weekly|monthly)\b/

/** @param scripts paths of the scripts that run by the hour, day, week and month */
function cronJobs(text: string, scripts: string, now: number, offsetAt: OffsetAt): Due[] {
  const wanted = new Set(
    scripts.split('\n').flatMap((path) => {
      const [, often, name = ''] = /^\/etc\/cron\.([a-z]+)\/([\w-]{1,64})$/.exec(path) ?? []
      return often && !isChore(name) ? [often] : []
    }),
  )
  let file = ''
  const due: Due[] = []
  for (const line of text.split('\n').slice(0, mostLines)) {
    const [, path] = /^@ (\/(?:etc|var\/spool)\/cron[\w/.-]{0,80})$/.exec(line) ?? []
    if (path) file = path
    const [, user] = /^\/var\/spool\/cron\/crontabs\/(.+)$/.exec(file) ?? []
    const [, ownFile] = /^\/etc\/cron\.d\/(.+)$/.exec(file) ?? []
    // cron itself leaves out files with such names.
    if (path || line.length > 1000 || (ownFile && (!/^[\w-]+$/.test(ownFile) || isChore(ownFile)))) continue
    const parsed = parseLine(line)
    if (!parsed) continue
    const [, often] = runParts.exec(parsed.rest) ?? []
    if (often && !wanted.has(often)) continue
    const at = nextRun(parsed.cron, now, offsetAt)
    if (at !== undefined) due.push({ at, what: user ? `the crontab of ${user}` : often ? `/etc/cron.${often}` : file })
  }
  return due
}

/** The lines of `atq -o %s`: number, seconds since the epoch, queue, user. */
const atJobs = (text: string): Due[] =>
  text.split('\n').flatMap((line) => {
    const [, seconds, user] = /^\d+\s+(\d{1,12})\s+\S\s+([\w.-]{1,32})$/.exec(line) ?? []
    return seconds && user ? [{ at: Number(seconds) * 1000, what: `an at job of ${user}` }] : []
  })

/** Where the guest has connections to, other than itself and the box: `1.2.3.4:443`. */
const connections = (text: string, own: ReadonlySet<string>): string[] =>
  remotesIn(text)
    .filter(({ address }) => !own.has(address) && !/^(127\.|0{31}1$)/.test(address))
    .map(({ address, port }) => (address.includes('.') ? `${address}:${port}` : `[${groups(address)}]:${port}`))

/** The groups of an IPv6 address, without the zeroes before each. */
const groups = (hex: string): string =>
  hex
    .match(/.{4}/g)!
    .map((group) => group.replace(/^0{1,3}/, ''))
    .join(':')
