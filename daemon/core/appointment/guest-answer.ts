import { z } from 'zod'
import { isWithin } from '../../lib/text/addresses.ts'
import { remotesIn } from '../../lib/text/sockets.ts'
import type { Appointment } from '../../store/index.ts'
import { horizonMs, nextRun, type OffsetAt, offsetsOf, parseLine } from './cron.ts'
import { isChore } from './housekeeping.ts'

/**
 * Asks a guest, in sh, for its open connections: those of every network namespace, because containers have their own.
 * Each part of the answer begins with a line `@@ name`, and is bounded; what the guest does not have is left out.
 */
export const connectionsQuestion = `exec 2>/dev/null
export LC_ALL=C
part() { echo "@@ $1"; head -c 65536; echo; }
ip -o -4 addr show | part networks
stat -c %N /proc/[0-9]*/ns/net | sort -u -t '>' -k 2 | sed -n "s|^'\\(/proc/[0-9]*\\)/ns/net'.*|\\1|p" |
  while read -r process; do cat "$process/net/tcp" "$process/net/tcp6"; done |
  grep -E '^ *[0-9]+: [0-9A-F]+:[0-9A-F]+ [0-9A-F]+:[0-9A-F]+ 01 ' | part sockets
:
`

/**
 * Asks a guest for its timers, crontabs and `at` jobs as well. Lines of crontabs are indented, so that none looks like
 * the beginning of a part. Timers that have no calendar count the time that the guest is awake, so `calendars` names
 * those that do. Crontabs count only where a cron runs.
 */
export const question = `${connectionsQuestion}running() { cat /proc/[0-9]*/comm | grep -qxE "$1"; }
date +%z | part offset
readlink -f /etc/localtime | part zone
if [ -d /run/systemd/system ]; then
  timeout 20 systemctl list-timers --all --output=json | part timers
  timeout 20 systemctl show -p Id -p TimersCalendar '*.timer' | part calendars
fi
if running 'cron|crond'; then
  for file in /etc/crontab /etc/cron.d/* /var/spool/cron/crontabs/*; do
    [ -f "$file" ] && { echo "@ $file"; sed -n 's/^[^#]/ &/p' "$file"; }
  done | part cron
  for file in /etc/cron.hourly/* /etc/cron.daily/* /etc/cron.weekly/* /etc/cron.monthly/*; do
    [ -f "$file" ] && echo "$file"
  done | part scripts
fi
if running atd; then timeout 20 atq -o %s | part at; fi
:
`

/** What a guest says before it sleeps or dozes: the first thing that is due in it, and where it is connected to, if anywhere. */
export interface Answer {
  appointment: Appointment | null
  connection: string | undefined
  /** What of it made no sense. */
  wrong: string | undefined
}

const mostAnswer = 1_000_000
const mostLines = 300
const mostNetworks = 100
const timersSchema = z.array(z.object({ next: z.number().nullish(), unit: z.string() })).max(1000)

/**
 * Parses the answer to `question`. The guest is not trusted: whatever it says, this gives an appointment within a year
 * or none. Pure.
 * @param inside networks that are not the outside, such as 10.77.0.0/16: the box's own for its VMs
 */
export function parseAnswer(text: string, inside: readonly string[], now: number): Answer {
  if (text.length > mostAnswer) return { appointment: null, connection: undefined, wrong: 'it is too long' }
  const parts = new Map(
    text.split(/^@@ /m).map((part) => [/^[a-z]*/.exec(part)![0], part.slice(part.indexOf('\n') + 1).trimEnd()]),
  )
  const of = (name: string) => parts.get(name) ?? ''
  const timers = readTimers(parts.get('timers'), of('calendars'))
  const due = [...(timers ?? []), ...cronJobs(of('cron'), of('scripts'), now, offsets(of('offset'), of('zone'), now))]
  due.push(...atJobs(of('at')))
  return {
    appointment: earliest(due, now),
    connection: connections(of('sockets'), [...inside, ...networksIn(of('networks'))])[0],
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
function readTimers(text: string | undefined, calendars: string): Due[] | undefined {
  if (text === undefined) return []
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

/** The networks that a guest is directly on, its containers' among them, from the lines of `ip -o -4 addr show`. */
const networksIn = (text: string): string[] =>
  text
    .split('\n')
    .slice(0, mostNetworks)
    .flatMap((line) => /^\d+: \S+\s+inet (\S+)/.exec(line)?.[1] ?? [])

/** The loopback, and networks that are never the outside. */
const near = ['127.0.0.0/8', '::1', 'fe80::/10', 'fc00::/7']

/** Where the guest has connections to outside: `1.2.3.4:443`. */
const connections = (text: string, inside: readonly string[]): string[] =>
  remotesIn(text)
    .filter(({ address }) => ![...near, ...inside].some((network) => isWithin(address, network)))
    .map(({ address, port }) => `${address.includes(':') ? `[${address}]` : address}:${port}`)
