import type { Context } from 'hono'
import type { Actor } from '../../core/access/principal.ts'

/** One way to the API: a socket, a port, or the web address. */
export interface Listener {
  /** Whether its clients are on this machine and are admitted by file permissions. */
  local: boolean
  /** Identifies the sender of a request. @throws CroftError `not-allowed` */
  authenticate(c: Context): Authenticated
}

export interface Authenticated {
  actor: Actor
  /** The address of the box that an SSH client connected to. */
  reached?: string | undefined
}

/** Hono's environment: the variables of an authenticated request. */
export interface HttpEnv {
  Variables: Authenticated
}
