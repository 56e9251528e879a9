import { z } from 'zod'

/** Who does something. The name is data, whatever it contains. */
const bySchema = z.object({
  /**
   * The `owner`, in a signed-in browser; the holder of a `token` or an SSH `key`; a `user` of the box, as named by
   * their command line; a `guest` with a share link; `croft` itself; a `stranger` without credentials.
   */
  kind: z.enum(['owner', 'token', 'key', 'user', 'guest', 'croft', 'stranger']),
  /** The name of the user, guest, token or key; empty when unknown. */
  name: z.string(),
  /** The id of the session, the token, the link, or the user of the box; a key's fingerprint. */
  id: z.string().nullable(),
})

const fromSchema = z.object({
  /**
   * A command line on the `box`, the `console`, the `api` with a token, the `web` address of Croft or a VM, or `ssh`.
   */
  way: z.enum(['box', 'console', 'api', 'web', 'ssh']),
  /** The client's address; null on the box itself. */
  address: z.string().describe('An IP address').nullable(),
  /** The browser's user agent. */
  agent: z.string().nullable(),
})

/** One thing that somebody did or tried, or that happened. */
export const entrySchema = z.object({
  /** Increases from entry to entry. */
  id: z.int(),
  /** When it ended. */
  at: z.string(),
  by: bySchema,
  /** Null for what Croft does by itself. */
  from: fromSchema.nullable(),
  /** The name of the command; null for anything else. */
  command: z.string().nullable(),
  /** The command line without anything that may be secret, or what happened, in words. */
  what: z.string(),
  /** The VMs concerned, with the names that they had. */
  vms: z.array(z.object({ id: z.string(), name: z.string() })),
  /** How long it took; null for an instant. */
  ms: z.number().nullable(),
  /** `refused` because of who asked, or `failed`. */
  result: z.enum(['done', 'refused', 'failed']),
  /** The stable error code. */
  code: z.string().nullable(),
  /** More about the result, as a sentence. */
  says: z.string().nullable(),
  /** How often it happened, when it is too frequent to be written each time. */
  count: z.int(),
})

export type Entry = z.infer<typeof entrySchema>
/** Who somebody is, without what they may do: core/access/principal.ts has both. */
export type Identity = Entry['by']
/** The way somebody comes in. */
export type Origin = Entry['from']

/** What callers give to be logged. */
export type Note = Pick<Entry, 'by' | 'from' | 'what'> & Partial<Omit<Entry, 'id' | 'at' | 'count'>>

export const croft: Pick<Entry, 'by' | 'from'> = { by: { kind: 'croft', name: '', id: null }, from: null }

/**
 * Croft's secrets, wherever they appear: tokens, the secrets in links, and bare ones (43 characters, from
 * `newSecret`).
 */
const secrets = /croft_[\w-]{8,}|(?<=[?&](?:code|key)=)[^\s&"']+|(?<![\w:+/-])[\w-]{43}(?![\w+/-])/g
/** Control characters, and characters that hide or reorder others. */
const unseen = /[\p{C}\p{Zl}\p{Zp}]/gu

/** Makes text from anywhere one line of at most `most` characters, without Croft's secrets. Pure. */
export function bounded(text: string, most: number): string {
  const line = text
    .slice(0, most * 4)
    .replace(/\s+/g, ' ')
    .replace(unseen, '')
    .replace(secrets, '…')
  return line.length > most ? `${line.slice(0, most - 1).toWellFormed()}…` : line
}

/** The first line of a message, without the words that introduce the rest: that is a guest's console. Pure. */
const firstOf = (message: string): string => {
  const [line, ...more] = message.split('\n')
  return more.length ? line!.replace(/\s[^.]*:$/, '') : line!
}

/** Makes an entry from a note: complete, with each part of bounded length. Pure. */
export function entryOf(note: Note, id: number, at: Date, count = 1): Entry {
  const { by, from, command = null, what, vms = [], ms = null, result = 'done', code = null, says = null } = note
  return {
    id,
    at: at.toISOString(),
    by: { kind: by.kind, name: bounded(by.name, 64), id: by.id },
    from: from && {
      ...from,
      address: from.address && bounded(from.address, 64),
      agent: from.agent && bounded(from.agent, 200),
    },
    command,
    what: bounded(what, 400),
    vms: vms.slice(0, 20),
    ms: ms === null ? null : Math.round(ms),
    result,
    code,
    says: says && bounded(firstOf(says), 400),
    count,
  }
}
