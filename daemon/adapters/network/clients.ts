import type { ConnectionTable, Peer } from '../../core/interfaces/web.ts'
import { runProgram } from '../../lib/process/run.ts'
import type { Firewall } from './firewall.ts'

/** How many addresses go into one filter of ss. */
const atOnce = 200

/**
 * The connections of clients to ports of this box. The kernel lists and kills them, no matter which program serves
 * them.
 */
export class Clients implements ConnectionTable {
  readonly #ports: readonly number[]
  readonly #firewall: Firewall

  /** @param ports the TCP ports that clients connect to */
  constructor(ports: readonly number[], firewall: Firewall) {
    this.#ports = ports
    this.#firewall = firewall
  }

  /** Returns the TCP connections that are open, and the UDP ones that may be. */
  async open(): Promise<Set<Peer>> {
    const [{ stdout }, { heard }] = await Promise.all([
      runProgram('ss', ['-H', '-t', '-n', 'state', 'established', `( ${this.#ours} )`]),
      this.#firewall.quicClients(),
    ])
    return parsePeers(stdout).union(new Set(heard.map((peer) => `udp ${peer}`)))
  }

  /**
   * Kills connections. With TCP, both ends are told (`SOCK_DESTROY` of sock_diag(7), which Debian's kernels have). With
   * UDP, all packets between the two are dropped for a minute, which is longer than QUIC waits.
   */
  async kill(peers: readonly Peer[]): Promise<void> {
    const [tcp, udp] = (['tcp', 'udp'] as const).map((kind) =>
      peers.flatMap((peer) => (peer.startsWith(`${kind} `) && isAddress(peer.slice(4)) ? [peer.slice(4)] : [])),
    )
    for (let i = 0; i < tcp!.length; i += atOnce) {
      const those = tcp!.slice(i, i + atOnce).map((address) => `dst ${address}`)
      await runProgram('ss', [
        '-K',
        '-H',
        '-t',
        '-n',
        'state',
        'connected',
        `( ( ${this.#ours} ) and ( ${those.join(' or ')} ) )`,
      ])
    }
    if (udp!.length) await this.#firewall.silence(udp!)
  }

  async killTo(address: string): Promise<void> {
    await runProgram('ss', ['-K', '-H', '-t', '-n', 'state', 'connected', `dst ${address}`])
  }

  get #ours(): string {
    return this.#ports.map((port) => `sport = :${port}`).join(' or ')
  }
}

/** Validates text before it becomes part of a filter. */
const isAddress = (text: string): boolean => /^([0-9.]+|\[[0-9a-f:]+(%[a-z0-9.-]+)?\]):[0-9]+$/.test(text)

/**
 * Parses lines of ss: receive queue, send queue, local and remote address. IPv4 addresses on dual-stack sockets are
 * written as IPv6. Pure.
 */
export function parsePeers(text: string): Set<Peer> {
  const peers = text.split('\n').flatMap((line) => line.trim().split(/\s+/)[3] ?? [])
  return new Set(peers.map((peer) => `tcp ${peer.replace(/^\[::ffff:([0-9.]+)\]/, '$1')}`))
}
