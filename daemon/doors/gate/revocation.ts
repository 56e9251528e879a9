import type { Logger } from 'pino'
import type { ConnectionTable } from '../../core/interfaces/web.ts'
import { repeat } from '../../lib/interval.ts'
import type { State } from '../../store/index.ts'
import { type Gate, isStillRight, stillHolds } from './authorize.ts'

/** How often it is looked whether something was taken back: whoever lost his right is out within a second. */
const lookMs = 500
/** Every how many looks it is looked what ended by itself. */
const looksPerCheck = 20

/** Cuts the connections, and takes back the passes, of those who were let in and would not be any more. @returns ends that */
export function enforceRevocations(gate: Gate, table: ConnectionTable, log: Logger): () => void {
  const { connections, grants, box } = gate
  let before = box.store.state
  let looks = 0
  const unlisten = box.events.listen((event) => {
    if (event.vm === undefined) return
    // Something has happened to a VM: it sleeps, is gone, or its port is another.
    grants.takeBack(({ vm }) => vm === event.vm)
    const address = box.store.state.vms[event.vm]?.ip
    if (event.type !== 'vm.state' || !over.has(event.state) || !address) return
    table.killTo(address).catch((err) => log.error({ err, vm: event.vm }, 'could not cut the connections to a VM'))
  })
  // Whoever is told that something is taken back can rely on it: with passes no next request gets through.
  const unwatch = box.store.watch((earlier) => {
    if (grantsDiffer(earlier, box.store.state)) grants.takeBack((pass) => !isStillRight(gate, pass))
  })
  const unlook = repeat(lookMs, 'cut connections', log, async () => {
    const { state } = box.store
    looks++
    grants.takeBackOld()
    if (connections.crowded) connections.forgetClosed(await table.open())
    if (!grantsDiffer(before, state) && looks % looksPerCheck !== 0) return
    const cut = connections.takeOver((grant) => stillHolds(gate, grant))
    // Of those from before this daemon nobody knows whether it is them; they can come again, if they may.
    if (connections.someUnknown && takenBack(before, state)) cut.push(...connections.takeUnknown())
    before = state
    if (cut.length === 0) return
    await table.kill(cut)
    log.info({ count: cut.length }, 'cut connections of those who may not enter any more')
  })
  return () => {
    unlisten()
    unwatch()
    unlook()
  }
}

/** In these states of a VM, what was open to it goes on no more: who waits for it is told. */
const over: ReadonlySet<string> = new Set(['stopped', 'crashed', 'leaving'])

const kinds = ['sessions', 'links', 'tokens', 'hosts', 'vms'] as const

const grantsDiffer = (before: State, now: State): boolean =>
  before.web !== now.web || kinds.some((kind) => before[kind] !== now[kind])

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
