import type { ChildProcess } from 'node:child_process'
import type { LibvirtEvent, WatchMessage } from './binding/event.ts'
import { endChild, forkBridge, onGone, rssMiB } from './child.ts'

/**
 * The child sends a message every second. After this many silent seconds, it or its attempt to connect counts as hung.
 */
const MAX_SILENT_SECONDS = 4
const MAX_RESPAWN_MS = 2000

/**
 * Whether libvirt can be reached.
 *
 *   connecting ──► connected ──► down        lost, or silent
 *       │   ▲          │          │
 *       │   └──────────┘          │          the events child ended: replaced immediately, while calls go on
 *       └─────────► down ──► connected       not there, or hung; retried until it is back
 */
export type EventsLink = { state: 'connecting' | 'connected' } | { state: 'down'; reason: string }

export interface Watcher {
  readonly link: EventsLink
  readonly child: ChildProcess
  close(): Promise<void>
}

/**
 * Keeps one events child running (and replaces one that has grown too large); reports all events and changes of the
 * link in order.
 */
export function startWatcher(
  { uri, recycleRssMiB }: { uri: string; recycleRssMiB: number },
  onEvent: (event: LibvirtEvent) => void,
): Watcher {
  let link: EventsLink = { state: 'connecting' }
  let child: ChildProcess
  let silentSeconds = 0
  let respawnMs = 0
  let closed = false
  let respawnTimer: NodeJS.Timeout | undefined

  const leave = (next: EventsLink, reason: string) => {
    const tell = link.state !== 'down'
    link = next
    if (tell) onEvent({ type: 'disconnected', reason })
  }
  const down = (reason: string) => leave({ state: 'down', reason }, reason)

  const hear = (message: WatchMessage) => {
    silentSeconds = 0
    if (message.type === 'failed' || message.type === 'lost') return down(message.reason)
    if (message.type !== 'event') return
    if (message.event.type === 'connected') {
      link = { state: 'connected' }
      respawnMs = 0
    }
    onEvent(message.event)
  }

  const spawn = () => {
    silentSeconds = 0
    const one = forkBridge('events', uri)
    child = one
    one.on('message', (message: WatchMessage) => {
      if (!closed) hear(message)
    })
    onGone(one, (reason) => {
      if (closed) return
      const text = `the process that watches libvirt ended (${reason})`
      if (link.state === 'connected') leave({ state: 'connecting' }, text)
      else if (link.state === 'connecting') down(text)
      respawnTimer = setTimeout(spawn, respawnMs)
      respawnMs = Math.min(respawnMs * 2 + 50, MAX_RESPAWN_MS)
    })
  }

  // Counted, not timed: if this process was itself busy for longer, that still counts as one second.
  const pulse = setInterval(() => {
    silentSeconds += 1
    if (silentSeconds >= MAX_SILENT_SECONDS) {
      down('libvirtd does not answer')
      child.kill('SIGKILL')
    } else if (link.state === 'connected' && rssMiB(child.pid) > recycleRssMiB) {
      void endChild(child)
    }
  }, 1000)

  spawn()
  return {
    get link() {
      return link
    },
    get child() {
      return child
    },
    async close() {
      closed = true
      clearInterval(pulse)
      clearTimeout(respawnTimer)
      await endChild(child)
    },
  }
}
