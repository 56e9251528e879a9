import type { HttpBindings } from '@hono/node-server'
import type { Context } from 'hono'
import { streamSSE } from 'hono/streaming'
import type { AppContext } from '../../commands/kit/serve.ts'
import { toVmResult } from '../../commands/results/vm.ts'
import { watchRights } from '../../core/access/rights.ts'
import { vmsOf } from '../../core/box.ts'
import type { NumberedEvent } from '../../core/events.ts'

const heartbeatMs = 15_000
/** More than the log keeps, because all of that can wait for a listener that reconnects. */
const mostWaiting = 4000

/**
 * Streams the event log as server-sent events. A client that names the last event it saw (`Last-Event-ID`) gets the
 * events after it; any other client, and one that was away too long, first gets the whole state as a `state` event. A
 * client that reads too slowly is disconnected instead of silently missing events. One that loses access is too.
 */
export function eventsRoute({ box }: AppContext, c: Context, isStillIn: () => boolean): Response {
  const resumeAt = c.req.header('last-event-id')
  return streamSSE(c, async (sse) => {
    const waiting: NumberedEvent[] = []
    let wake: (() => void) | undefined
    const stop = box.events.listen((event) => {
      // A write to a client that does not read never finishes, so its connection is closed.
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
