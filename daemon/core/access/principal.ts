import type { Identity, Origin } from '../../activity/index.ts'
import type { Key, Token } from '../../store/index.ts'
import type { Limit } from './limit.ts'

/** What a principal may do. */
export interface Scope extends Limit {
  /**
   * Names of the commands that may be run, with `web` for VMs' web addresses; null for all. What a command may do within
   * that, commands/kit/scope.ts decides.
   */
  commands: readonly string[] | null
}

export const everything: Scope = { vm: null, tag: null, commands: null }
const nothing: Scope = { vm: null, tag: null, commands: [] }

/**
 * Who makes a request, and what they may do: the owner, a guest with a share link, a token, a key, a user of the box,
 * or a stranger. Each door makes a principal from the credentials it is shown (the table in doors/README.md), and the code
 * behind the doors goes by nothing else. What Croft does by itself has an identity and no scope (activity/entry.ts). In
 * words: `whoOf` in activity/entry-text.ts.
 */
export interface Principal extends Identity {
  scope: Scope
}

/** A principal, and the way it came in. */
export interface Actor {
  by: Principal
  from: Origin
}

/** Someone without valid credentials. */
export const stranger: Principal = { kind: 'stranger', name: '', id: null, scope: nothing }

/** @param session id of the session */
export const ownerBy = (session: string): Principal => ({ kind: 'owner', name: '', id: session, scope: everything })

/** The holder of a share link: it opens a VM's address, and allows no command. */
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

/** @param as the user that the key's certificate names; empty when there is no certificate */
export const keyHolder = ({ name, fingerprint, vm, tag }: Key, as: string): Principal => ({
  kind: 'key',
  name: as ? `${name}, as ${as}` : name,
  id: fingerprint,
  scope: { vm, tag, commands: null },
})

/** The token of the box itself, which root and the group `croft` can read: it opens the API on loopback. */
export const boxToken: Principal = { kind: 'token', name: 'of the box itself', id: null, scope: everything }

/** A user at a command line of the box. Anyone who can open the daemon's socket may do all that the owner may. */
export const boxUser = (name: string, id: string | null): Principal => ({ kind: 'user', name, id, scope: everything })
