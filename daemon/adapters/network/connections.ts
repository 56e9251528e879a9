import { readFile } from 'node:fs/promises'

/** Returns the remote ports to which this box has TCP connections open, by the remote IPv4 address. */
export async function readConnections(): Promise<Map<string, number[]>> {
  return parseConnections(await readFile('/proc/net/tcp', 'utf8'))
}

/** TCP_ESTABLISHED in the kernel's net/tcp_states.h. */
const established = '01'

/**
 * Parses /proc/net/tcp (proc_net_tcp in the kernel's documentation): a line per socket, with number, local address,
 * remote address, state. An address is the 32-bit word in the machine's byte order (x86's) in hex, `:`, and the port.
 * Pure.
 */
export function parseConnections(text: string): Map<string, number[]> {
  const found = new Map<string, number[]>()
  for (const line of text.split('\n').slice(1)) {
    const [, , remote = '', state] = line.trim().split(/\s+/)
    if (state !== established) continue
    const [word = '', port = ''] = remote.split(':')
    const address = [...Buffer.from(word, 'hex')].reverse().join('.')
    found.set(address, [...(found.get(address) ?? []), Number.parseInt(port, 16)])
  }
  return found
}
