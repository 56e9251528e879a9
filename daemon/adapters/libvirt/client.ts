import { unavailable } from './binding/errors.ts'
import type { LibvirtEvent } from './binding/event.ts'
import type { OpName, Ops } from './binding/ops/index.ts'
import { rssMiB } from './child.ts'
import { type CallOptions, CallPool } from './pool.ts'
import { startWatcher } from './watcher.ts'

type Call<Op> = Op extends (conn: number, ...args: infer Args) => infer Result
  ? (...args: Args | [...Args, CallOptions]) => Promise<Result>
  : never

/**
 * All operations of binding/ops, carried out in a child. Operations take no objects, so a last argument that is an
 * object is CallOptions; before it, write `undefined` for arguments that are left out.
 */
export type LibvirtCalls = { readonly [K in OpName]: Call<Ops[K]> }

export interface LibvirtChild {
  role: 'events' | 'calls'
  pid: number | undefined
  rssMiB: number
  /** The operation under way. */
  op: OpName | null
}

export interface LibvirtStatus {
  connected: boolean
  /** Why it is not connected. */
  reason: string | null
  children: LibvirtChild[]
}

export interface Libvirt {
  /**
   * @throws LibvirtError; CroftError `unavailable` (immediately while libvirt can't be reached), `timed-out`,
   * `cancelled`
   */
  readonly call: LibvirtCalls
  /**
   * Calls `listener` with each event from now on, in order; first with `connected` when already connected. The result
   * stops it.
   */
  onEvent(listener: (event: LibvirtEvent) => void): () => void
  status(): LibvirtStatus
  /** Fails all calls under way and ends the children; resolves when they are gone. */
  close(): Promise<void>
}

export interface LibvirtOptions {
  /** E.g. `qemu:///system`. */
  uri: string
  /** The most calls children at one time. Default 8. */
  maxCalls?: number
  /**
   * A child that grows beyond this is replaced: a calls child between two calls; the events child with a `disconnected`
   * and a `connected`. Default 180.
   */
  recycleRssMiB?: number
  log?: (message: string, details: Record<string, unknown>) => void
}

/**
 * Connects to libvirt, and connects again whenever the connection is lost. Returns immediately; calls wait until the
 * first connection is there.
 */
export function openLibvirt({ uri, maxCalls = 8, recycleRssMiB = 180, log = () => {} }: LibvirtOptions): Libvirt {
  const listeners = new Set<(event: LibvirtEvent) => void>()
  const pool = new CallPool({ uri, maxCalls, recycleRssMiB })
  let closed = false

  const tell = (listener: (event: LibvirtEvent) => void, event: LibvirtEvent) => {
    try {
      listener(event)
    } catch (error) {
      log('a listener to libvirt events failed', { error, event })
    }
  }
  const watcher = startWatcher({ uri, recycleRssMiB }, (event) => {
    if (event.type === 'connected' || event.type === 'disconnected') log(`libvirt: ${event.type}`, { ...event })
    if (event.type === 'connected') pool.warm()
    if (watcher.link.state === 'down') pool.fail(unavailable(watcher.link.reason))
    for (const listener of listeners) tell(listener, event)
  })

  const submit = async (op: OpName, args: readonly unknown[]): Promise<unknown> => {
    if (closed) throw unavailable('the connection was closed.')
    if (watcher.link.state === 'down') throw unavailable(watcher.link.reason)
    const last = args.at(-1)
    return isOptions(last) ? pool.submit(op, args.slice(0, -1), last) : pool.submit(op, args, {})
  }

  return {
    call: new Proxy({} as LibvirtCalls, {
      get: (_, name) => {
        if (typeof name === 'symbol' || name === 'then') return undefined // so that it can be awaited and inspected
        return (...args: unknown[]) => submit(name as OpName, args)
      },
    }),
    onEvent(listener) {
      listeners.add(listener)
      if (watcher.link.state === 'connected') {
        queueMicrotask(() => {
          if (listeners.has(listener) && watcher.link.state === 'connected') tell(listener, { type: 'connected' })
        })
      }
      return () => listeners.delete(listener)
    },
    status() {
      const { link, child } = watcher
      return {
        connected: link.state === 'connected',
        reason: link.state === 'down' ? link.reason : link.state === 'connecting' ? 'connecting' : null,
        children: [
          { role: 'events', pid: child.pid, rssMiB: rssMiB(child.pid), op: null },
          ...pool.status().map((one) => ({ role: 'calls' as const, ...one })),
        ],
      }
    },
    async close() {
      closed = true
      await Promise.all([watcher.close(), pool.close()])
      listeners.clear()
    },
  }
}

function isOptions(value: unknown): value is CallOptions {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
