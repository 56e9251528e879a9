/**
 * The events child: tries to connect until it succeeds, reports events until the connection is lost, then ends and is
 * replaced.
 */

import {
  agentReasons,
  blockJobStatuses,
  blockJobTypes,
  closeReasons,
  ioErrorActions,
  lifecycleDetails,
  lifecycleEvents,
  word,
} from './binding/enum-names.ts'
import type { LibvirtEvent, WatchMessage } from './binding/event.ts'
import { borrowString, type CType, callback, callNative, type Pointer, type Values, vir } from './binding/ffi.ts'
import { domainUuid, readDomainName } from './binding/ops/handles.ts'

const ALIVE_MS = 1000
const MAX_RETRY_MS = 1000

/** C may call these at any time, so they must never be garbage collected. */
const callbacks: Buffer[] = []

function keep<const T extends readonly CType[]>(takes: T, body: (...args: Values<T>) => void): Buffer {
  const pointer = callback(takes, body)
  callbacks.push(pointer)
  return pointer
}

/** Watches the libvirt at `uri`. @returns a function that ends the event loop and the process */
export function watchDomains(uri: string, send: (message: WatchMessage) => void): () => void {
  let stopping = false
  let looping = false
  let conn: Pointer = 0

  const stop = () => {
    stopping = true
    if (!looping) process.exit(0)
    // The loop waits in another thread: a timeout that is due wakes it, so that it notices that it has to end.
    vir.virEventUpdateTimeout(alive, 0)
  }
  const loop = () => {
    if (!stopping) return vir.virEventRunDefaultImpl.async(loop)
    vir.virConnectClose(conn)
    process.exit(0)
  }
  const connect = (retryMs: number) => {
    if (stopping) return
    try {
      conn = callNative('virConnectOpen', uri)
    } catch (error) {
      send({ type: 'failed', reason: String(error instanceof Error ? error.message : error) })
      setTimeout(connect, retryMs, Math.min(retryMs * 2, MAX_RETRY_MS))
      return
    }
    // A driver inside this process (test:///) supports neither of these, and needs neither.
    vir.virConnectRegisterCloseCallback(conn, onClose, 0, 0)
    vir.virConnectSetKeepAlive(conn, 1, 2)
    vir.virResetLastError()
    subscribe(conn, (event) => send({ type: 'event', event }))
    send({ type: 'event', event: { type: 'connected' } })
    looping = true
    loop()
  }

  const onAlive = keep(['int', 'uint64'], () => send({ type: 'alive' }))
  const onClose = keep(['uint64', 'int', 'uint64'], (_conn, reason) => {
    send({ type: 'lost', reason: word(closeReasons, reason) })
    stop()
  })
  callNative('virInitialize')
  callNative('virEventRegisterDefaultImpl')
  const alive = callNative('virEventAddTimeout', ALIVE_MS, onAlive, 0, 0)
  connect(100)
  return stop
}

/**
 * Subscribes to events of all domains. Numbers and argument lists: `virDomainEventID` and its callbacks in
 * libvirt-domain.h.
 */
function subscribe(conn: Pointer, emit: (event: LibvirtEvent) => void): void {
  const on = <const T extends readonly CType[]>(
    id: number,
    extra: T,
    read: (uuid: string, values: Values<T>, domain: Pointer) => LibvirtEvent | undefined,
  ) => {
    const heard = (...args: unknown[]) => {
      const [, domain, ...values] = args as [Pointer, Pointer, ...Values<T>]
      const event = read(domainUuid(domain), values as unknown as Values<T>, domain)
      if (event) emit(event)
    }
    const pointer = keep(['uint64', 'uint64', ...extra, 'uint64'] as readonly CType[], heard)
    callNative('virConnectDomainEventRegisterAny', conn, 0, id, pointer, 0, 0)
  }
  const text = (address: Pointer): string => borrowString(address) ?? ''

  on(0, ['int', 'int'], (uuid, [number, detail], domain) => {
    const event = lifecycleEvents[number]
    if (!event) return undefined
    return {
      type: 'lifecycle',
      uuid,
      name: readDomainName(domain),
      event,
      detail: word(lifecycleDetails[event], detail),
    }
  })
  on(1, [], (uuid) => ({ type: 'reboot', uuid }))
  on(6, ['uint64', 'uint64', 'int', 'uint64'], (uuid, [source, device, action, reason]) => ({
    type: 'io-error',
    uuid,
    source: text(source),
    device: text(device),
    action: word(ioErrorActions, action),
    reason: text(reason),
  }))
  on(16, ['uint64', 'int', 'int'], (uuid, [disk, job, status]) => ({
    type: 'block-job',
    uuid,
    disk: text(disk),
    job: word(blockJobTypes, job),
    status: word(blockJobStatuses, status),
  }))
  on(18, ['int', 'int'], (uuid, [state, reason]) => ({
    type: 'agent',
    uuid,
    state: state === 1 ? 'connected' : 'disconnected',
    reason: word(agentReasons, reason),
  }))
  on(20, ['int'], (uuid, [pass]) => ({ type: 'memory-pass', uuid, pass }))
}
