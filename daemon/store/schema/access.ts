import { z } from 'zod'

export const keySchema = z.object({
  /** `SHA256:…`, as ssh-keygen prints it. */
  fingerprint: z.string(),
  name: z.string(),
  /** Type and base64 of the key, as in an authorized_keys line, without options or comment. */
  publicKey: z.string(),
  /** The VMs that it may enter: the id of one VM, or the tag of several. Both null for all; at least one is null. */
  vm: z.string().nullable(),
  tag: z.string().nullable(),
  /** Whether it is a CA's key: holders of certificates signed with it may enter. */
  authority: z.boolean(),
  createdAt: z.iso.datetime(),
})

/** The owner, signed in at one host name. The key of its record is the SHA-256 of its token, in hexadecimal. */
export const sessionSchema = z.object({
  id: z.string(),
  host: z.string(),
  /** Id of the session that it derives from: its own id at Croft's own addresses. They end together. */
  signIn: z.string(),
  /** The browser's user agent and the client's address, as given by the client. */
  agent: z.string(),
  from: z.string(),
  createdAt: z.iso.datetime(),
  expiresAt: z.iso.datetime(),
})

/** A share link: gives anyone who has it access to one address of a VM. */
export const linkSchema = z.object({
  id: z.string(),
  /** SHA-256 of its secret, in hexadecimal. */
  digest: z.string(),
  vm: z.string(),
  /** Null for the VM's plain address. */
  port: z.int().nullable(),
  /** Who it was given to; may be empty. */
  name: z.string(),
  createdAt: z.iso.datetime(),
  expiresAt: z.iso.datetime(),
})

/** A token of Croft's API: lets a program that sends it open VMs' web addresses and run Croft's commands. */
export const tokenSchema = z.object({
  id: z.string(),
  /** SHA-256 of its secret, in hexadecimal. */
  digest: z.string(),
  /** What it is for; may be empty. */
  name: z.string(),
  /** Id of the one VM that it gives access to; null for all. */
  vm: z.string().nullable(),
  /** Names of the commands that it may run, with `web` for web addresses; null for all. */
  commands: z.array(z.string()).nullable(),
  createdAt: z.iso.datetime(),
  /** Null: it does not expire. */
  expiresAt: z.iso.datetime().nullable(),
})

export type Link = z.infer<typeof linkSchema>

export type Session = z.infer<typeof sessionSchema>

export type Token = z.infer<typeof tokenSchema>

export type Key = z.infer<typeof keySchema>
