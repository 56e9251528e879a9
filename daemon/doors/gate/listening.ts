import type { Listening } from '../../core/interfaces/web.ts'
import { serviceOn } from './services.ts'

/** Makes a guest print what `parseListening` reads. */
export const listeningScript = 'cat /proc/net/tcp /proc/net/tcp6'

/** TCP_LISTEN: socket state 10 in the kernel's net/tcp_states.h. */
const listen = '0A'
/** Ports of every Debian guest that are not web servers: SSH, DNS, LLMNR. */
const notWeb = new Set([22, 53, 5355])
const preferred = [80, 8000, 8080, 3000]

/**
 * Parses /proc/net/tcp and tcp6 (proc_net_tcp in the kernel's documentation): a line per socket, with number, local
 * address, remote address, state. The text comes from the guest and is untrusted, so lines in any other form are
 * ignored. Each port once, the lowest first. Pure.
 */
export function parseListening(text: string): Listening[] {
  const found = new Map<number, boolean>()
  for (const line of text.split('\n').slice(0, 10_000)) {
    const [, address, digits, state] =
      /^\s*\d+: ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) \S+ ([0-9A-F]{2}) /.exec(line) ?? []
    if (address === undefined || state !== listen) continue
    const port = Number.parseInt(digits!, 16)
    if (notWeb.has(port) || port === 0) continue
    found.set(port, isLoopback(address) && found.get(port) !== false)
  }
  return [...found].map(([port, loopback]) => ({ port, loopback })).sort((a, b) => a.port - b.port)
}

/** Matches 127.0.0.0/8, ::1, and 127.0.0.0/8 mapped into IPv6: 32-bit words in x86's byte order. Pure. */
function isLoopback(address: string): boolean {
  if (address.length === 8) return address.endsWith('7F')
  return (
    address === `${'0'.repeat(24)}01000000` ||
    (address.startsWith(`${'0'.repeat(16)}FFFF0000`) && address.endsWith('7F'))
  )
}

/**
 * Chooses the port for a VM's plain address: a usual web port, otherwise the lowest reachable one that isn't the usual
 * port of another protocol. Pure.
 */
export function mainPort(listening: readonly Listening[], exposed: readonly number[] = []): number | undefined {
  const open = listening.filter(({ loopback }) => !loopback).map(({ port }) => port)
  return (
    [...exposed, ...preferred].find((port) => open.includes(port)) ??
    open.filter((port) => !serviceOn(port)).sort((a, b) => a - b)[0]
  )
}
