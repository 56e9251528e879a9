import { readFile } from 'node:fs/promises'
import { remotesIn } from '../../lib/text/sockets.ts'

/** Returns the remote ports to which this box has TCP connections open, by the remote IPv4 address. */
export async function readConnections(): Promise<Map<string, number[]>> {
  return parseConnections(await readFile('/proc/net/tcp', 'utf8'))
}

/** Parses /proc/net/tcp. Pure. */
export function parseConnections(text: string): Map<string, number[]> {
  const found = new Map<string, number[]>()
  for (const { address, port } of remotesIn(text)) found.set(address, [...(found.get(address) ?? []), port])
  return found
}
