import type { Entry } from './entry.ts'

/** An entry in words, and which entries are wanted: for the command line and the console, which see the same. */

/** Who did it. Pure. */
export function whoOf({ by: { kind, name, id } }: Pick<Entry, 'by'>): string {
  if (kind === 'owner') return 'the owner'
  if (kind === 'token') return `token ${name || id || ''}`.trim()
  if (kind === 'key') return `key ${name || id || ''}`.trim()
  if (kind === 'guest') return name ? `guest ${name}` : 'a guest'
  if (kind === 'user') return name || 'somebody'
  return kind === 'croft' ? 'croft' : 'a stranger'
}

const ways = { box: 'on the box', console: 'console', api: 'API', web: 'web', ssh: 'SSH' } as const

/** From where. Pure. */
export const whenceOf = ({ from }: Pick<Entry, 'from'>): string =>
  from ? [ways[from.way], from.address].filter(Boolean).join(', ') : ''

/** What it was, and how often. Pure. */
export const whatOf = ({ what, count }: Pick<Entry, 'what' | 'count'>): string =>
  count > 1 ? `${what} (${count} times)` : what

export interface EntryFilter {
  /** Only what was refused or failed. */
  failed?: boolean | undefined
  /** Words that are all in it. */
  find?: string | undefined
}

/** Whether an entry is one of those that are wanted. Pure. */
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
