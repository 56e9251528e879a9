import { z } from 'zod'

/** How certificates come about: from a CA by ACME (null: the usual one), from Caddy's own CA, or not at all. */
export const tlsSchema = z.discriminatedUnion('mode', [
  z.object({ mode: z.literal('off') }),
  z.object({ mode: z.literal('internal') }),
  z.object({
    mode: z.literal('acme'),
    /** URL of the CA's directory. */
    directory: z.string().nullable(),
    /** Certificate of the CA that the directory's own is from, in PEM. */
    root: z.string().nullable(),
    email: z.string().nullable(),
  }),
])

export const webSchema = z.object({
  /** Name beneath which the VMs are. */
  domain: z.string(),
  tls: tlsSchema,
})

/** A host name of its own for a VM. */
export const hostSchema = z.object({
  host: z.string(),
  vm: z.string(),
  /** Null: what the VM's plain address leads to. */
  port: z.int().nullable(),
  createdAt: z.iso.datetime(),
})

export type Tls = z.infer<typeof tlsSchema>

export type WebSettings = z.infer<typeof webSchema>

export type CustomHost = z.infer<typeof hostSchema>
