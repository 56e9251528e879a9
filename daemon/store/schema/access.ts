import { z } from 'zod'

export const keySchema = z.object({
  /** `SHA256:…`, as ssh-keygen prints it. */
  fingerprint: z.string(),
  name: z.string(),
  /** Type and base64 of the key, as in an authorized_keys line, without options or comment. */
  publicKey: z.string(),
  /** Id of the one VM that it may enter, or the tag of those that it may; nulls for all, and one of them always is. */
  vm: z.string().nullable(),
  tag: z.string().nullable(),
  /** Whether it is that of a CA: who has a certificate signed with it may enter. */
  authority: z.boolean(),
  createdAt: z.iso.datetime(),
})

/** The owner, signed in at one host name. The key of its record is the SHA-256 of its token, in hexadecimal. */
export const sessionSchema = z.object({
  id: z.string(),
  host: z.string(),
  /** Id of the session that it came from: its own at Croft's own addresses. They end together. */
  signIn: z.string(),
  /** What the browser calls itself, and the address that it came from: said by whoever came. */
  agent: z.string(),
  from: z.string(),
  createdAt: z.iso.datetime(),
  expiresAt: z.iso.datetime(),
})

/** Lets whoever has it into one address of a VM. */
export const linkSchema = z.object({
  id: z.string(),
  /** SHA-256 of its secret, in hexadecimal. */
  digest: z.string(),
  vm: z.string(),
  /** Null: what the VM's plain address leads to. */
  port: z.int().nullable(),
  /** Whom it was given to; may be empty. */
  name: z.string(),
  createdAt: z.iso.datetime(),
  expiresAt: z.iso.datetime(),
})

/** Lets a program in: into web addresses, and to commands. */
export const tokenSchema = z.object({
  id: z.string(),
  /** SHA-256 of its secret, in hexadecimal. */
  digest: z.string(),
  /** What it is for; may be empty. */
  name: z.string(),
  /** Id of the one VM that it is for; null for all. */
  vm: z.string().nullable(),
  /** Names of the commands that it may run, `web` for web addresses among them; null for all. */
  commands: z.array(z.string()).nullable(),
  createdAt: z.iso.datetime(),
  /** Null: it does not end by itself. */
  expiresAt: z.iso.datetime().nullable(),
})

export type Link = z.infer<typeof linkSchema>

export type Session = z.infer<typeof sessionSchema>

export type Token = z.infer<typeof tokenSchema>

export type Key = z.infer<typeof keySchema>
