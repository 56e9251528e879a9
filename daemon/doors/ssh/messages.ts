import { z } from 'zod'

/** What the gateway and the daemon say to each other, over the daemon's socket for SSH. */

/**
 * `X-Croft-Key` (a fingerprint), `X-Croft-As` (whom its certificate names), `X-Croft-From` (the client's address) and
 * `X-Croft-Reached` (the address of the box that it connected to) say who is at the gateway.
 */
export const connectingClient = z.object({
  fingerprint: z.string().regex(/^SHA256:[A-Za-z0-9+/]{43}$/),
  as: z.string().max(256),
  address: z.string().max(64),
  /** Absent from a gateway of before 0.2, which goes on while the daemon is replaced. */
  reached: z.string().max(64).optional(),
})
export type ConnectingClient = z.infer<typeof connectingClient>

/** `POST /api/ssh/key`: whether a key may enter at all. */
export const keyQuestion = z.object({ fingerprint: z.string(), authority: z.boolean() })

/** `POST /api/ssh/enter`: a VM that somebody wants to enter; it is awake when the answer comes. */
export const enterQuestion = z.object({
  vm: z.string().max(64),
  user: z.string().max(32).nullable(),
  /** A command of his has been written down for it already. */
  noted: z.boolean(),
})
export const enterAnswer = z.object({
  id: z.string(),
  name: z.string(),
  address: z.string(),
  user: z.string(),
  /** The one host key that it has, type and base64. */
  hostKey: z.string(),
  /** How a command of Croft begins where the client is. */
  croft: z.string(),
})
export type EnterAnswer = z.infer<typeof enterAnswer>

/** `POST /api/ssh/link`, JSON by lines in both directions for as long as both live: what the gateway says. */
export const fromGateway = z.object({
  /** How many sessions there are in which VM, by its id: all of them, each time. */
  sessions: z.record(z.string(), z.int()),
  /** The fingerprints by which somebody is in now. */
  keys: z.array(z.string()),
})
export type FromGateway = z.infer<typeof fromGateway>

/** What the daemon says: a VM has ended; it has been put to sleep; this key may not enter any more. */
export type FromDaemon = { ended: string } | { asleep: string } | { out: string }
