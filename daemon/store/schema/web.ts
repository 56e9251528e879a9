import { z } from 'zod'

/** Where certificates come from: a CA with ACME (null: Caddy's default), Caddy's own CA, or nowhere. */
export const tlsSchema = z.discriminatedUnion('mode', [
  z.object({ mode: z.literal('off') }),
  z.object({ mode: z.literal('internal') }),
  z.object({
    mode: z.literal('acme'),
    /** URL of the CA's directory. */
    directory: z.string().nullable(),
    /** Certificate, in PEM, of the CA that issued the directory's own certificate. */
    root: z.string().nullable(),
    email: z.string().nullable(),
  }),
])

export const webSchema = z.object({
  /** The domain whose subdomains are the VMs. */
  domain: z.string(),
  tls: tlsSchema,
})

/** A custom host name of a VM. */
export const hostSchema = z.object({
  host: z.string(),
  vm: z.string(),
  /** Null for the port that the VM's plain address leads to. */
  port: z.int().nullable(),
  createdAt: z.iso.datetime(),
})

export type Tls = z.infer<typeof tlsSchema>

export type WebSettings = z.infer<typeof webSchema>

export type CustomHost = z.infer<typeof hostSchema>
