import { z } from 'zod'

/** Somebody who does something. What he calls himself is data, whatever it is. */
const bySchema = z.object({
  /**
   * The `owner`, by a browser that is signed in; the holder of a `token` or an SSH `key`; a `user` of the box, who is what his command line says he
   * is; a `guest`, by a share link; `croft` itself; a `stranger`, who has shown nothing.
   */
  kind: z.enum(['owner', 'token', 'key', 'user', 'guest', 'croft', 'stranger']),
  /** What he or his token is called; empty when that is not known. */
  name: z.string(),
  /** Of the session, the token, the link, or the user of the box; a key's fingerprint. */
  id: z.string().nullable(),
})

const fromSchema = z.object({
  /** By a command line on the `box`, the `console`, the `api` with a token, the `web` address of Croft or a VM, or `ssh`. */
  way: z.enum(['box', 'console', 'api', 'web', 'ssh']),
  /** Of the client; null on the box itself. */
  address: z.string().describe('An IP address').nullable(),
  /** What the browser calls itself. */
  agent: z.string().nullable(),
})

/** One thing that was done, tried, or happened. */
export const entrySchema = z.object({
  /** Grows from each to the next. */
  id: z.int(),
  /** When it was over. */
  at: z.string(),
  by: bySchema,
  /** Null for what Croft does by itself. */
  from: fromSchema.nullable(),
  /** Name of the command; null for what is none. */
  command: z.string().nullable(),
  /** The command line without what may be secret, or what happened in words. */
  what: z.string(),
  /** The VMs that it was about, by the names that they had. */
  vms: z.array(z.object({ id: z.string(), name: z.string() })),
  /** How long it took; null for what takes no time. */
  ms: z.number().nullable(),
  /** `refused` by who comes, or `failed`. */
  result: z.enum(['done', 'refused', 'failed']),
  /** The stable code of what went wrong. */
  code: z.string().nullable(),
  /** More about the result, as a sentence. */
  says: z.string().nullable(),
  /** How often, when it was so often that the times are not written one by one. */
  count: z.int(),
})

export type Entry = z.infer<typeof entrySchema>
/** Who it is, without what they may do: core/access/principal.ts has both. */
export type Identity = Entry['by']
/** The way by which somebody comes. */
export type Origin = Entry['from']

/** What is to be written down. */
export type Note = Pick<Entry, 'by' | 'from' | 'what'> & Partial<Omit<Entry, 'id' | 'at' | 'count'>>

export const croft: Pick<Entry, 'by' | 'from'> = { by: { kind: 'croft', name: '', id: null }, from: null }

/** Secrets of ours, wherever they come in: tokens, what links of ours carry, and that alone (43 characters, as `newSecret` makes it). */
const secrets = /croft_[\w-]{8,}|(?<=[?&](?:code|key)=)[^\s&"']+|(?<![\w:+/-])[\w-]{43}(?![\w+/-])/g
/** Control characters, and those that hide or reorder others. */
const unseen = /[\p{C}\p{Zl}\p{Zp}]/gu

/** Text from anywhere as one line of at most so many characters, without secrets of ours. Pure. */
export function bounded(text: string, most: number): string {
  const line = text
    .slice(0, most * 4)
    .replace(/\s+/g, ' ')
    .replace(unseen, '')
    .replace(secrets, '…')
  return line.length > most ? `${line.slice(0, most - 1).toWellFormed()}…` : line
}

/** Of a message the first line, without the beginning of what follows: that is a guest's console. Pure. */
const firstOf = (message: string): string => {
  const [line, ...more] = message.split('\n')
  return more.length ? line!.replace(/\s[^.]*:$/, '') : line!
}

/** A note as it is kept: complete, and each part of it of bounded length. Pure. */
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
