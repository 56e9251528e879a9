import type { Context } from 'hono'
import type { Actor } from '../../activity/index.ts'
import type { Scope } from '../../commands/kit/command.ts'

/** A way to the API. */
export interface Listener {
  /** Whether clients are on this machine, and file permissions let them in. */
  local: boolean
  /** Who sent a request, and what they may do. @throws CroftError `not-allowed` */
  enter(c: Context): Entrant
}

export interface Entrant {
  actor: Actor
  scope: Scope
  /** The address of the box that an SSH client connected to. */
  reached?: string | undefined
}

export type Entered = { Variables: Entrant }
