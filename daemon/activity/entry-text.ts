import type { Entry } from './entry.ts'

/** Puts entries into words and filters them: for the command line and the console, which show the same. */

/** Who did something. Pure. */
export function whoOf({ by: { kind, name, id } }: Pick<Entry, 'by'>): string {
  if (kind === 'owner') return 'the owner'
  if (kind === 'token') return `token ${name || id || ''}`.trim()
  if (kind === 'key') return `key ${name || id || ''}`.trim()
  if (kind === 'guest') return name ? `guest ${name}` : 'a guest'
  if (kind === 'user') return name || 'somebody'
  return kind === 'croft' ? 'croft' : 'a stranger'
}

const ways = { box: 'on the box', console: 'console', api: 'API', web: 'web', ssh: 'SSH' } as const

/** Where they did it from. Pure. */
export const whenceOf = ({ from }: Pick<Entry, 'from'>): string =>
  from ? [ways[from.way], from.address].filter(Boolean).join(', ') : ''

/** What was done, and how often. Pure. */
export const whatOf = ({ what, count }: Pick<Entry, 'what' | 'count'>): string =>
  count > 1 ? `${what} (${count} times)` : what

export interface EntryFilter {
  /** Only entries that were refused or failed. */
  failed?: boolean | undefined
  /** Only entries that contain all of these words. */
  find?: string | undefined
}

/** Whether an entry matches a filter. Pure. */
export function isWanted(entry: Entry, { failed, find = '' }: EntryFilter): boolean {
  if (failed && entry.result === 'done') return false
  const words = find.toLowerCase().split(/\s+/).filter(Boolean)
  if (words.length === 0) return true
  const names = entry.vms.map(({ name }) => name)
  const text = [
    whoOf(entry),
    whenceOf(entry),
    entry.from?.agent,
    whatOf(entry),
    ...names,
    entry.result,
    entry.code,
    entry.says,
  ]
    .join(' ')
    .toLowerCase()
  return words.every((word) => text.includes(word))
}
