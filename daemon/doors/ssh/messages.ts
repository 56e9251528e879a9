import { z } from 'zod'

/** The messages between the gateway and the daemon, over the daemon's socket for SSH. */

/**
 * The client that is connected to the gateway. Sent as the headers `X-Croft-Key` (the fingerprint of its key),
 * `X-Croft-As` (the ID of its certificate), `X-Croft-From` (its address) and `X-Croft-Reached` (the address of the box
 * that it connected to).
 */
export const connectingClient = z.object({
  fingerprint: z.string().regex(/^SHA256:[A-Za-z0-9+/]{43}$/),
  as: z.string().max(256),
  address: z.string().max(64),
  /** Absent when the gateway is older than 0.2: a gateway keeps running while the daemon is upgraded. */
  reached: z.string().max(64).optional(),
})
export type ConnectingClient = z.infer<typeof connectingClient>

/** `POST /api/ssh/key`: asks whether a key is admitted at all. */
export const keyQuestion = z.object({ fingerprint: z.string(), authority: z.boolean() })

/** `POST /api/ssh/enter`: asks to enter a VM. The VM is awake when the answer arrives. */
export const enterQuestion = z.object({
  vm: z.string().max(64),
  user: z.string().max(32).nullable(),
  /** Whether the activity log already has an entry for this client's entering. */
  noted: z.boolean(),
})
export const enterAnswer = z.object({
  id: z.string(),
  name: z.string(),
  address: z.string(),
  user: z.string(),
  /** The VM's only host key: type and base64. */
  hostKey: z.string(),
  /** How a Croft command begins on the client's side, for hints. */
  croft: z.string(),
})
export type EnterAnswer = z.infer<typeof enterAnswer>

/** `POST /api/ssh/link`, NDJSON in both directions for as long as both processes run: what the gateway sends. */
export const fromGateway = z.object({
  /** The number of open connections to each VM, by the VM's id. Each message has all VMs with any. */
  sessions: z.record(z.string(), z.int()),
  /** The fingerprints of the keys whose clients are connected now. */
  keys: z.array(z.string()),
})
export type FromGateway = z.infer<typeof fromGateway>

/** What the daemon sends: a VM has ended, a VM has been put to sleep, or a key has been revoked (`out`). */
export type FromDaemon = { ended: string } | { asleep: string } | { out: string }
