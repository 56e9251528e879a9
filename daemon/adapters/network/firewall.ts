import { randomUUID } from 'node:crypto'
import { boxAddress, formatAddress, type Subnet } from '../../core/vm/identity.ts'
import { Semaphore } from '../../lib/async/locks.ts'
import { followProgram } from '../../lib/process/follow-program.ts'
import { runProgram } from '../../lib/process/run.ts'
import type { Vm } from '../../store/index.ts'

export interface FirewallShape {
  /** Name of our two tables, one in each of the families `bridge` and `inet`. */
  table: string
  bridge: string
  tapPrefix: string
  subnet: Subnet
  /** The box's web ports: TCP, and for HTTP/3 also UDP on the port of HTTPS. */
  web: { http: number; https: number } | false
}

/**
 * UDP clients of the web, `address:port` each (IPv6 in brackets): those heard from within a minute, and those cut off.
 */
export interface QuicClients {
  heard: readonly string[]
  silent: readonly string[]
}

/**
 * The most connections that one VM may have at a time, to the outside and to the box: more than programs need, and few
 * compared with the 262,144 that the box can track.
 */
const connectionsPerVm = 4096

/**
 * Returns the firewall as one nftables script that atomically replaces our two tables and touches nothing else. Pure.
 *
 * `bridge` filters what enters through a VM's tap. Only IPv4 and ARP pass, only with that VM's MAC and address; ARP
 * only to the box or to announce itself; DHCP only as a request for its own MAC, in the payload too, and at a limited
 * rate. No VLAN tags, no IPv6, no multicast, and nothing to another VM's tap. `inet` filters what VMs reach. On the box
 * that is DHCP and DNS at the bridge's own address, ping, and the web's ports, as for any client on the network. They
 * never reach each other or link-local addresses (where clouds keep their metadata services). They reach the rest of
 * the world by NAT, from which only answers come back.
 *
 * A rule that drops must not depend on bytes that may be missing, because nft skips a rule whose bytes it can't read.
 * So the rules say what is accepted, and each chain ends with `drop`.
 *
 * @param stamp is kept in the tables, and tells them from older ones that somebody saved and loaded again
 * @param clients is carried over from the tables that these replace
 */
export function firewallScript(
  shape: FirewallShape,
  vms: readonly Vm[],
  stamp: string,
  clients: QuicClients = { heard: [], silent: [] },
): string {
  const { table, bridge, tapPrefix, subnet, web } = shape
  const quic = web ? web.https : 0
  const box = boxAddress(subnet)
  const net = `${formatAddress(subnet.base)}/${subnet.prefix}`
  const limits = vms.flatMap((vm) => limitsOf(shape, vm))
  const elements = (values: string[]) => (values.length ? `elements = { ${values.join(', ')} }` : '')
  return `table bridge ${table}
delete table bridge ${table}
table bridge ${table} {
  comment "${stamp}"
  set vms {
    typeof iifname . ether saddr . ip saddr
    ${elements(vms.map((vm) => vmElement(shape, vm)))}
  }
  # The last part is the client's hardware address in a DHCP message, RFC 2131 section 2: dnsmasq goes by it.
  set askers {
    typeof iifname . ether saddr . @th,288,48
    ${elements(vms.map((vm) => askerElement(shape, vm)))}
  }
  set asking {
    typeof iifname
    size 65535
    flags dynamic,timeout
    timeout 1m
  }
  # Limits on what VMs send and receive. A limit's bucket holds what it lets through in a second.
  ${limits.map((limit) => `limit ${limitText(limit)}`).join('\n  ')}
  map limits-from {
    type ifname : limit
    ${elements(limits.filter(({ way }) => way === 'from').map(limitElement))}
  }
  map limits-to {
    type ifname : limit
    ${elements(limits.filter(({ way }) => way === 'to').map(limitElement))}
  }
  chain prerouting {
    type filter hook prerouting priority -300; policy accept;
    iifname "${tapPrefix}*" limit name iifname map @limits-from drop
    iifname "${tapPrefix}*" jump from-vm
  }
  chain postrouting {
    type filter hook postrouting priority -300; policy accept;
    oifname "${tapPrefix}*" limit name oifname map @limits-to drop
  }
  # Frames for bridges themselves (LLDP, 802.1X) skip prerouting: the bridge hands all of them to the box.
  chain input {
    type filter hook input priority -300; policy accept;
    iifname "${tapPrefix}*" ether daddr & ff:ff:ff:ff:ff:f0 == 01:80:c2:00:00:00 drop
  }
  # The bridge's ports are isolated, too. This rule does not depend on that flag.
  chain forward {
    type filter hook forward priority -300; policy accept;
    iifname "${tapPrefix}*" oifname "${tapPrefix}*" drop
  }
  chain from-vm {
    ether type arp goto arp-from-vm
    ether type != ip drop
    ip daddr 224.0.0.0/4 drop
    udp sport 67 drop
    udp dport 67 goto dhcp-from-vm
    iifname . ether saddr . ip saddr @vms accept
    drop
  }
  chain arp-from-vm {
    arp htype 1 arp ptype ip iifname . ether saddr . arp saddr ip @vms iifname . arp saddr ether . arp saddr ip @vms goto arp-of-vm
    drop
  }
  # Without this chain, the box would answer ARP requests for any of its addresses.
  chain arp-of-vm {
    arp daddr ip ${box} accept
    iifname . arp saddr ether . arp daddr ip @vms accept
    drop
  }
  # A request (op 1) over Ethernet (1, 6 bytes), not forwarded by a relay, for the MAC that sends it.
  chain dhcp-from-vm {
    @th,64,24 0x010106 @th,256,32 0 iifname . ether saddr . @th,288,48 @askers goto dhcp-of-vm
    drop
  }
  chain dhcp-of-vm {
    add @asking { iifname limit rate over 5/second burst 20 packets } drop
    ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 accept
    iifname . ether saddr . ip saddr @vms accept
    drop
  }
}
table inet ${table}
delete table inet ${table}
table inet ${table} {
  comment "${stamp}"
  set busy {
    typeof ip saddr
    size 65535
    flags dynamic
  }
  # UDP clients of the web: the kernel tracks no connections for them, and QUIC drops one that is silent for 30 s.
  set heard4 {
    typeof ip saddr . udp sport
    size 16384
    flags dynamic,timeout
    timeout 1m
    ${elements(quicElements(clients.heard, 4))}
  }
  set heard6 {
    typeof ip6 saddr . udp sport
    size 16384
    flags dynamic,timeout
    timeout 1m
    ${elements(quicElements(clients.heard, 6))}
  }
  # Clients whose connections have been killed.
  set silent4 {
    typeof ip saddr . udp sport
    flags timeout
    timeout 1m
    ${elements(quicElements(clients.silent, 4))}
  }
  set silent6 {
    typeof ip6 saddr . udp sport
    flags timeout
    timeout 1m
    ${elements(quicElements(clients.silent, 6))}
  }
  # A packet that comes from a tap and not from the bridge has bypassed the rules above.
  chain prerouting {
    type filter hook prerouting priority raw; policy accept;
    iifname "${tapPrefix}*" drop
  }
  chain input {
    type filter hook input priority -10; policy accept;
    iifname "${bridge}" jump from-vms
    udp dport ${quic} ip saddr . udp sport @silent4 drop
    udp dport ${quic} ip6 saddr . udp sport @silent6 drop
    udp dport ${quic} update @heard4 { ip saddr . udp sport }
    udp dport ${quic} update @heard6 { ip6 saddr . udp sport }
  }
  chain output {
    type filter hook output priority -10; policy accept;
    udp sport ${quic} ip daddr . udp dport @silent4 drop
    udp sport ${quic} ip6 daddr . udp dport @silent6 drop
  }
  # Related packets are errors about a connection: a VM may send them about the box's connections to VMs, not about
  # others.
  chain from-vms {
    ct state established,related ct original ip daddr ${net} accept
    ip daddr { ${box}, 255.255.255.255 } udp dport 67 accept
    ip daddr ${box} meta l4proto { tcp, udp } th dport 53 accept
    # A box may be configured to route packets for its loopback.
    ip daddr 127.0.0.0/8 drop
    icmp type echo-request goto as-any-client
    ${web ? `tcp dport { ${web.http}, ${web.https} } goto as-any-client\n    udp dport ${web.https} goto as-any-client` : ''}
    drop
  }
  # Packets that this chain does not drop continue in the chain "input", and in any other firewall on this box.
  chain as-any-client {
    ct state invalid drop
    ct state new add @busy { ip saddr ct count over ${connectionsPerVm} } drop
  }
  # Invalid packets are not translated by NAT: outside they would show the VM's address.
  chain forward {
    type filter hook forward priority -10; policy accept;
    iifname "${bridge}" oifname "${bridge}" drop
    iifname "${bridge}" ip saddr != ${net} drop
    iifname "${bridge}" ip daddr { ${net}, 169.254.0.0/16, 224.0.0.0/4, 255.255.255.255 } drop
    iifname "${bridge}" meta nfproto ipv6 drop
    iifname "${bridge}" ct state invalid drop
    iifname "${bridge}" ct state new add @busy { ip saddr ct count over ${connectionsPerVm} } drop
    oifname "${bridge}" ct state established,related accept
    oifname "${bridge}" drop
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr ${net} oifname != "${bridge}" masquerade
  }
}
`
}

const tap = (shape: FirewallShape, vm: Vm) => `"${shape.tapPrefix}${vm.id.slice(3)}"`
const vmElement = (shape: FirewallShape, vm: Vm) => `${tap(shape, vm)} . ${vm.mac} . ${vm.ip}`
const askerElement = (shape: FirewallShape, vm: Vm) => `${tap(shape, vm)} . ${vm.mac} . 0x${vm.mac.replaceAll(':', '')}`

interface NetLimit {
  way: 'from' | 'to'
  tap: string
  name: string
  bytesPerS: number
}

/**
 * Beside a second's worth of packets, a bucket must hold one large packet that the guest leaves to its card to segment.
 */
const burstBytes = 64 * 1024

/** Returns the limits of a VM; none if it is not limited. */
function limitsOf(shape: FirewallShape, vm: Vm): NetLimit[] {
  const { netBitsPerS } = vm.rates
  if (netBitsPerS === null) return []
  const bytesPerS = Math.max(1, Math.round(netBitsPerS / 8))
  return (['from', 'to'] as const).map((way) => ({ way, tap: tap(shape, vm), name: `${way}-${vm.id}`, bytesPerS }))
}

const limitText = ({ name, bytesPerS }: NetLimit) =>
  `${name} { rate over ${bytesPerS} bytes/second burst ${burstBytes} bytes }`
const limitElement = ({ tap, name }: NetLimit) => `${tap} : "${name}"`

/** Returns the lines that remove a VM's limits, whatever they are, and those that add the current ones. */
function limitChange(shape: FirewallShape, vm: Vm): { remove: string; add: string } {
  const { table } = shape
  const add = (limits: NetLimit[]) =>
    limits.flatMap((limit) => [
      `add limit bridge ${table} ${limitText(limit)}\n`,
      `add element bridge ${table} limits-${limit.way} { ${limitElement(limit)} }\n`,
    ])
  // To nft, removing something that does not exist is an error, and adding something that exists changes nothing.
  const some = limitsOf(shape, { ...vm, rates: { ...vm.rates, netBitsPerS: 8 } })
  const remove = some.flatMap(({ way, tap, name }) => [
    `delete element bridge ${table} limits-${way} { ${tap} }\n`,
    `delete limit bridge ${table} ${name}\n`,
  ])
  return { remove: [...add(some), ...remove].join(''), add: add(limitsOf(shape, vm)).join('') }
}

const isIPv6 = (peer: string) => peer.startsWith('[')

/** Returns the clients of one version of IP as elements of a set; link-local addresses lose their zone. */
function quicElements(peers: readonly string[], version: 4 | 6): string[] {
  return peers
    .filter((peer) => isIPv6(peer) === (version === 6))
    .map((peer) => peer.replace(/^\[?([^\]%]+)(?:%[^\]]*)?\]?:([0-9]+)$/, '$1 . $2'))
}

/** Parses the sets of clients in the output of `nft --json list table` (libnftables-json(5)). Pure. */
export function parseQuicClients(text: string): QuicClients {
  const { nftables } = JSON.parse(text) as {
    nftables: { set?: { name: string; elem?: { elem: { val: { concat: [string, number] } } }[] } }[]
  }
  const peersIn = (kind: string) =>
    nftables.flatMap(({ set }) =>
      set?.name === `${kind}4` || set?.name === `${kind}6`
        ? (set.elem ?? []).map(({ elem: { val } }) => {
            const [address, port] = val.concat
            return `${address.includes(':') ? `[${address}]` : address}:${port}`
          })
        : [],
    )
  return { heard: peersIn('heard'), silent: peersIn('silent') }
}

/** Our part of the box's firewall. Each change is one atomic nft transaction. */
export class Firewall {
  readonly #shape: FirewallShape
  readonly #turn = new Semaphore(1)
  #stamp = ''
  #vms = new Map<string, string>()

  constructor(shape: FirewallShape) {
    this.#shape = shape
  }

  /**
   * Makes the tables anew.
   * @param current returns the VMs at the moment of the change, so that a new one is not lost
   */
  async restore(current: () => readonly Vm[]): Promise<void> {
    await this.#turn.run(async () => {
      const clients = await this.quicClients()
      const vms = current()
      const stamp = `croft ${randomUUID()}`
      await nft(firewallScript(this.#shape, vms, stamp, clients))
      this.#stamp = stamp
      this.#vms = new Map(vms.map((vm) => [vm.id, vmElement(this.#shape, vm)]))
    })
  }

  async add(vm: Vm): Promise<void> {
    await this.#turn.run(async () => {
      const { remove, add } = limitChange(this.#shape, vm)
      await nft(this.#elements('add', vm) + remove + add)
      this.#vms.set(vm.id, vmElement(this.#shape, vm))
    })
  }

  /** To nft, removing something that does not exist is an error, so this first adds it. */
  async remove(vm: Vm): Promise<void> {
    await this.#turn.run(async () => {
      this.#vms.delete(vm.id)
      if (!(await this.#stands())) return
      const { remove } = limitChange(this.#shape, vm)
      await nft(this.#elements('add', vm) + this.#elements('delete', vm) + remove)
    })
  }

  /** Drops all UDP packets between the box and these peers, `address:port` each, for a minute. */
  async silence(peers: readonly string[]): Promise<void> {
    const { table } = this.#shape
    const script = ([4, 6] as const).map((version) => {
      const elements = quicElements(peers, version)
      return elements.length ? `add element inet ${table} silent${version} { ${elements.join(', ')} }\n` : ''
    })
    await this.#turn.run(() => nft(script.join('')))
  }

  /** Returns the UDP clients that the kernel has noted; none when our tables are gone. */
  async quicClients(): Promise<QuicClients> {
    const { stdout } = await runProgram('nft', ['-j', 'list', 'table', 'inet', this.#shape.table], { okCodes: [0, 1] })
    return stdout.trim() ? parseQuicClients(stdout) : { heard: [], silent: [] }
  }

  #elements(verb: 'add' | 'delete', vm: Vm): string {
    const { table } = this.#shape
    return (
      `${verb} element bridge ${table} vms { ${vmElement(this.#shape, vm)} }\n` +
      `${verb} element bridge ${table} askers { ${askerElement(this.#shape, vm)} }\n`
    )
  }

  /**
   * Whether the kernel has the tables that we made: neither gone, nor an old copy that somebody saved and loaded again.
   */
  async standing(): Promise<boolean> {
    return this.#turn.run(() => this.#stands())
  }

  async #stands(): Promise<boolean> {
    const { table } = this.#shape
    const [bridge, inet] = await Promise.all(
      [['bridge'], ['inet', '--terse']].map(async ([family, ...options]) => {
        const { stdout } = await runProgram('nft', [...options, 'list', 'table', family!, table], { okCodes: [0, 1] })
        return stdout
      }),
    )
    const stamp = `comment "${this.#stamp}"`
    return (
      !!bridge?.includes(stamp) && !!inet?.includes(stamp) && this.#vms.values().every((each) => bridge.includes(each))
    )
  }

  async clear(): Promise<void> {
    const { table } = this.#shape
    const script = ['bridge', 'inet'].map((family) => `table ${family} ${table}\ndelete table ${family} ${table}\n`)
    await this.#turn.run(() => nft(script.join('')))
  }

  /**
   * Calls `onLoss` when one of our tables has been deleted (a firewall reload flushes everything), also when we did
   * that ourselves: see `standing`. `nft monitor` prints each change. @returns a function that ends the watch
   */
  watch(onLoss: () => void): () => void {
    const ofTable = (line: string) => line.startsWith('delete table') && line.trim().endsWith(` ${this.#shape.table}`)
    return followProgram(
      ['nft', 'monitor', 'destroy', 'tables'],
      (line) => {
        if (ofTable(line)) onLoss()
      },
      onLoss,
    )
  }
}

const nft = (script: string) => runProgram('nft', ['-f', '-'], { input: script })
