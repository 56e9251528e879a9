import type { Logger } from 'pino'
import { watchRights } from '../../core/access/rights.ts'
import type { ConnectionTable, Peer } from '../../core/interfaces/web.ts'
import { coalesce } from '../../lib/coalesce.ts'
import type { State } from '../../store/index.ts'
import { type Gate, isStillRight, stillHolds } from './authorize.ts'

const retryMs = 1_000

/**
 * Disconnects clients whose right to be here has been revoked or has ended, and takes back their grants, as soon as that
 * is so. @returns ends that
 */
export function enforceRevocations(gate: Gate, table: ConnectionTable, log: Logger): () => void {
  const { connections, grants, box } = gate
  let before = box.store.state
  /** Those that could not be killed the last time among them. */
  const revoked = new Set<Peer>()
  const unlisten = box.events.listen((event) => {
    if (event.vm === undefined) return
    // Something has happened to a VM: it sleeps, is gone, or its port is another.
    grants.takeBack(({ vm }) => vm === event.vm)
    const address = box.store.state.vms[event.vm]?.ip
    if (event.type !== 'vm.state' || !over.has(event.state) || !address) return
    table.killTo(address).catch((err) => log.error({ err, vm: event.vm }, 'could not cut the connections to a VM'))
  })
  const disconnect = coalesce('cut connections', retryMs, log, async () => {
    const { state } = box.store
    for (const peer of connections.takeOver((grant) => stillHolds(gate, grant))) revoked.add(peer)
    // Nobody knows whether those from before this daemon are affected; they can come again, if they may.
    if (connections.someUnknown && takenBack(before, state))
      for (const peer of connections.takeUnknown()) revoked.add(peer)
    before = state
    if (revoked.size === 0) return
    const now = [...revoked]
    await table.kill(now)
    for (const peer of now) revoked.delete(peer)
    log.info({ count: now.length }, 'cut connections of those who may not enter any more')
  })
  const unwatch = watchRights(box.store, () => {
    // When the command that revokes a right returns, no grant lets a next request through.
    grants.takeBack((pass) => !isStillRight(gate, pass))
    disconnect()
  })
  connections.onCrowded = coalesce('look which connections are closed', retryMs, log, async () =>
    connections.forgetClosed(await table.open()),
  )
  return () => {
    unlisten()
    unwatch()
    connections.onCrowded = () => {}
  }
}

/** In these states of a VM its open connections end: clients that wait for it are told. */
const over: ReadonlySet<string> = new Set(['stopped', 'crashed', 'leaving'])

const kinds = ['sessions', 'links', 'tokens', 'hosts', 'vms'] as const

/** Whether there was something that let somebody in and is not there now. */
function takenBack(before: State, now: State): boolean {
  const gone = kinds.some(
    (kind) => before[kind] !== now[kind] && Object.keys(before[kind]).some((key) => !(key in now[kind])),
  )
  return (
    gone ||
    Object.values(before.vms).some(({ id, web }) => web.public.some((port) => !now.vms[id]?.web.public.includes(port)))
  )
}
