import type { Context } from 'hono'
import type { Actor } from '../../core/access/principal.ts'

/** A way to the API. */
export interface Listener {
  /** Whether clients are on this machine, and file permissions let them in. */
  local: boolean
  /** Who sent a request. @throws CroftError `not-allowed` */
  authenticate(c: Context): Authenticated
}

export interface Authenticated {
  actor: Actor
  /** The address of the box that an SSH client connected to. */
  reached?: string | undefined
}

/** What a request carries once it is known who sent it. */
export interface HttpEnv {
  Variables: Authenticated
}
