import type { Identity, Origin } from '../../activity/index.ts'
import type { Key, Token } from '../../store/index.ts'
import type { Limit } from './limit.ts'

/** What a principal may do. */
export interface Scope extends Limit {
  /** Names of the commands that may be run; null for all. */
  commands: readonly string[] | null
}

export const everything: Scope = { vm: null, tag: null, commands: null }
const nothing: Scope = { vm: null, tag: null, commands: [] }

/**
 * Who asks, and what they may do: the owner, a guest with a share link, a token, a key, a user of the box, Croft itself,
 * or a stranger. Each door makes one of what it is shown, and what is behind the doors knows nothing else of who asks.
 */
export interface Principal extends Identity {
  scope: Scope
}

/** A principal, and the way by which it came. */
export interface Actor {
  by: Principal
  from: Origin
}

/** Has shown nothing that lets anybody in. */
export const stranger: Principal = { kind: 'stranger', name: '', id: null, scope: nothing }

/** @param session id of the session */
export const ownerBy = (session: string): Principal => ({ kind: 'owner', name: '', id: session, scope: everything })

/** One who has a share link: it opens a VM's address, and no command. */
export const guestBy = ({ name, id, vm }: { name: string; id: string; vm: string }): Principal => ({
  kind: 'guest',
  name,
  id,
  scope: { vm, tag: null, commands: [] },
})

export const tokenHolder = ({ name, id, vm, commands }: Token): Principal => ({
  kind: 'token',
  name,
  id,
  scope: { vm, tag: null, commands },
})

/** @param as whom a certificate of the key names; empty when it came without one */
export const keyHolder = ({ name, fingerprint, vm, tag }: Key, as: string): Principal => ({
  kind: 'key',
  name: as ? `${name}, as ${as}` : name,
  id: fingerprint,
  scope: { vm, tag, commands: null },
})

/** Somebody at a command line of the box: the socket's rights have let them in, as much as root. */
export const boxUser = (name: string, id: string | null): Principal => ({ kind: 'user', name, id, scope: everything })
