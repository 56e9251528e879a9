import type { HttpBindings } from '@hono/node-server'
import type { Context } from 'hono'
import { streamSSE } from 'hono/streaming'
import type { AppContext } from '../../commands/kit/serve.ts'
import { toVmResult } from '../../commands/results/vm.ts'
import { watchRights } from '../../core/access/rights.ts'
import { vmsOf } from '../../core/box.ts'
import type { NumberedEvent } from '../../core/events.ts'

const heartbeatMs = 15_000
/** More than the log keeps, which is what waits for a listener that was away. */
const mostWaiting = 4000

/**
 * The event log as server-sent events. A listener that names the last event it saw (`Last-Event-ID`) gets what came
 * after it; any other, and one that was away too long, first gets the whole state as a `state` event.
 * One that reads too slowly is disconnected, never silently skipped; so is one that may not listen any more.
 */
export function eventsRoute({ box }: AppContext, c: Context, isStillIn: () => boolean): Response {
  const resumeAt = c.req.header('last-event-id')
  return streamSSE(c, async (sse) => {
    const waiting: NumberedEvent[] = []
    let wake: (() => void) | undefined
    const stop = box.events.listen((event) => {
      // What is written to a client that does not read never ends: only its connection can.
      if (waiting.length >= mostWaiting) (c.env as HttpBindings).outgoing.destroy()
      else waiting.push(event)
      wake?.()
    })
    const heartbeat = setInterval(() => wake?.(), heartbeatMs)
    const unwatch = watchRights(box.store, () => {
      if (!isStillIn()) wake?.()
    })
    sse.onAbort(() => wake?.())
    try {
      const missed = resumeAt === undefined ? undefined : box.events.since(resumeAt)
      if (missed) waiting.unshift(...missed)
      else {
        const vms = vmsOf(box.store.state).map((vm) => toVmResult(box, vm))
        await sse.writeSSE({ event: 'state', id: box.events.lastId, data: JSON.stringify({ vms }) })
      }
      while (!sse.aborted && !sse.closed && isStillIn()) {
        const event = waiting.shift()
        if (event) await sse.writeSSE({ event: event.type, id: event.id, data: JSON.stringify(event) })
        else {
          const woken = await new Promise<boolean>((resolve) => {
            wake = () => resolve(waiting.length > 0)
          })
          if (!woken) await sse.write(': still here\n\n')
        }
      }
    } finally {
      clearInterval(heartbeat)
      unwatch()
      stop()
    }
  })
}
