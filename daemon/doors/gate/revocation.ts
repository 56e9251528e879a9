import type { Logger } from 'pino'
import { watchRights } from '../../core/access/rights.ts'
import type { ConnectionTable, Peer } from '../../core/interfaces/web.ts'
import { coalesce } from '../../lib/async/coalesce.ts'
import type { State } from '../../store/index.ts'
import { type Gate, isStillRight, stillHolds } from './authorize.ts'

const retryMs = 1_000

/**
 * Disconnects clients as soon as their access has been revoked or has expired, and removes their grants.
 * @returns stops enforcing
 */
export function enforceRevocations(gate: Gate, table: ConnectionTable, log: Logger): () => void {
  const { connections, grants, box } = gate
  let before = box.store.state
  /** Connections to kill, including those that could not be killed last time. */
  const revoked = new Set<Peer>()
  const unlisten = box.events.listen((event) => {
    if (event.vm === undefined) return
    // Something has happened to a VM: it sleeps, it was deleted, or its main port has changed.
    grants.takeBack(({ vm }) => vm === event.vm)
    const address = box.store.state.vms[event.vm]?.ip
    if (event.type !== 'vm.state' || !over.has(event.state) || !address) return
    table.killTo(address).catch((err) => log.error({ err, vm: event.vm }, 'could not close the connections to a VM'))
  })
  const disconnect = coalesce('close connections', retryMs, log, async () => {
    const { state } = box.store
    for (const peer of connections.takeOver((grant) => stillHolds(gate, grant))) revoked.add(peer)
    // Connections from before this daemon may be affected, so they are closed too. Clients with access can reconnect.
    if (connections.someUnknown && takenBack(before, state))
      for (const peer of connections.takeUnknown()) revoked.add(peer)
    before = state
    if (revoked.size === 0) return
    const now = [...revoked]
    await table.kill(now)
    for (const peer of now) revoked.delete(peer)
    log.info({ count: now.length }, 'closed connections of clients that lost access')
  })
  const unwatch = watchRights(box.store, () => {
    // Synchronous: once the command that revokes access returns, no grant admits another request.
    grants.takeBack((pass) => !isStillRight(gate, pass))
    disconnect()
  })
  connections.onCrowded = coalesce('find out which connections are closed', retryMs, log, async () =>
    connections.forgetClosed(await table.open()),
  )
  return () => {
    unlisten()
    unwatch()
    connections.onCrowded = () => {}
  }
}

/** The VM states in which its open connections are closed, so that waiting clients learn of it. */
const over: ReadonlySet<string> = new Set(['stopped', 'crashed', 'leaving'])

const kinds = ['sessions', 'links', 'tokens', 'hosts', 'vms'] as const

/** Tells whether something that granted access before is gone now. */
function takenBack(before: State, now: State): boolean {
  const gone = kinds.some(
    (kind) => before[kind] !== now[kind] && Object.keys(before[kind]).some((key) => !(key in now[kind])),
  )
  return (
    gone ||
    Object.values(before.vms).some(({ id, web }) => web.public.some((port) => !now.vms[id]?.web.public.includes(port)))
  )
}
