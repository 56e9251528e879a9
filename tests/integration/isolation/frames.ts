/** Frames and packets, made by hand. Field orders: RFC 791 (IPv4), 768 (UDP), 826 (ARP), 2131 (DHCP), 4443 (ICMPv6). */

export const broadcast = 'ff:ff:ff:ff:ff:ff'
export const type = { ip: 0x0800, arp: 0x0806, rarp: 0x8035, vlan: 0x8100, ipv6: 0x86dd, qinq: 0x88a8 }
const protocol = { icmp: 1, tcp: 6, udp: 17, icmpv6: 58 }

const bytes = (...values: number[]) => Buffer.from(values)
const u16 = (value: number) => bytes(value >> 8, value & 255)
export const macBytes = (mac: string) => Buffer.from(mac.replaceAll(':', ''), 'hex')
const ipBytes = (ip: string) => bytes(...ip.split('.').map(Number))
const text = (value: string) => Buffer.from(value)

/** RFC 1071. */
function checksum(data: Buffer): number {
  let sum = 0
  for (let i = 0; i < data.length; i += 2) sum += (data[i]! << 8) + (data[i + 1] ?? 0)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return ~sum & 0xffff
}

function withChecksum(data: Buffer, at: number, pseudo = Buffer.alloc(0)): Buffer {
  data.writeUInt16BE(0, at)
  data.writeUInt16BE(checksum(Buffer.concat([pseudo, data])), at)
  return data
}

export function ethernet(from: string, to: string, kind: number, payload: Buffer): Buffer {
  return Buffer.concat([macBytes(to), macBytes(from), u16(kind), payload])
}

export const vlanTag = (id: number, kind: number, payload: Buffer) => Buffer.concat([u16(id), u16(kind), payload])

/** An 802.3 frame with LLC: where others have their type, it has its length. */
export const llc = (from: string, to: string, payload: Buffer) => ethernet(from, to, payload.length, payload)

export interface Arp {
  operation?: 'request' | 'reply'
  mac: string
  ip: string
  toMac?: string
  toIp: string
}

export function arp({ operation = 'reply', mac, ip, toMac = '00:00:00:00:00:00', toIp }: Arp, token: string): Buffer {
  const head = bytes(0, 1, 8, 0, 6, 4, 0, operation === 'request' ? 1 : 2)
  return Buffer.concat([head, macBytes(mac), ipBytes(ip), macBytes(toMac), ipBytes(toIp), text(token.padEnd(18, '\0'))])
}

export interface IpOptions {
  fromPort?: number
  options?: Buffer
  /** In units of 8 bytes. */
  fragment?: { offset: number; more: boolean; id: number }
}

function ipv4(kind: number, from: string, to: string, payload: Buffer, { options, fragment }: IpOptions = {}): Buffer {
  const extra = options ?? Buffer.alloc(0)
  const head = Buffer.concat([
    bytes(0x40 | (5 + extra.length / 4), 0),
    u16(20 + extra.length + payload.length),
    u16(fragment?.id ?? 1),
    u16(fragment ? (fragment.more ? 0x2000 : 0) | fragment.offset : 0),
    bytes(64, kind, 0, 0),
    ipBytes(from),
    ipBytes(to),
    extra,
  ])
  return Buffer.concat([withChecksum(head, 10), payload])
}

/** Loose source route, RFC 791 section 3.1: by way of the box to `to`. */
export const sourceRoute = (to: string) => Buffer.concat([bytes(1, 131, 7, 4), ipBytes(to)])

const udpPart = (port: number, toPort: number, payload: Buffer) =>
  Buffer.concat([u16(port), u16(toPort), u16(8 + payload.length), u16(0), payload])

export function udp(from: string, to: string, toPort: number, payload: Buffer | string, more: IpOptions = {}): Buffer {
  return ipv4(protocol.udp, from, to, udpPart(more.fromPort ?? 40_000, toPort, Buffer.from(payload)), more)
}

/** A UDP packet in two, cut after `cut` bytes of its UDP header and data. */
export function udpInTwo(from: string, to: string, toPort: number, payload: Buffer | string, cut: number): Buffer[] {
  const whole = udpPart(toPort === 67 ? 68 : 40_000, toPort, Buffer.from(payload))
  const part = (offset: number, data: Buffer, more: boolean) =>
    ipv4(protocol.udp, from, to, data, { fragment: { offset: offset / 8, more, id: 77 } })
  return [part(0, whole.subarray(0, cut), true), part(cut, whole.subarray(cut), false)]
}

export const tcpFlag = { fin: 1, syn: 2, rst: 4, ack: 16 }

export function tcp(from: string, to: string, toPort: number, flags: number, token: string): Buffer {
  const data = text(token)
  const part = Buffer.concat([
    u16(40_000),
    u16(toPort),
    bytes(0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 4, 0, 0, 0, 0, 0),
    data,
  ])
  const pseudo = Buffer.concat([ipBytes(from), ipBytes(to), bytes(0, protocol.tcp), u16(part.length)])
  return ipv4(protocol.tcp, from, to, withChecksum(part, 16, pseudo))
}

/** @param rest bytes 4 to 7, then the data */
export function icmp(from: string, to: string, kind: number, code: number, rest: Buffer): Buffer {
  return ipv4(protocol.icmp, from, to, withChecksum(Buffer.concat([bytes(kind, code, 0, 0), rest]), 2))
}

export const echoRequest = (from: string, to: string, token: string) =>
  icmp(from, to, 8, 0, Buffer.concat([bytes(0, 1, 0, 1), text(token)]))

/** "Take this gateway for that destination." */
export const redirect = (from: string, to: string, gateway: string, about: Buffer) =>
  icmp(from, to, 5, 1, Buffer.concat([ipBytes(gateway), about]))

/** "Your packet was too big for my link." */
export const tooBig = (from: string, to: string, mtu: number, about: Buffer) =>
  icmp(from, to, 3, 4, Buffer.concat([bytes(0, 0), u16(mtu), about]))

/** RFC 3376 section 4.1. */
export const igmpQuery = (from: string, token: string) =>
  ipv4(2, from, '224.0.0.1', withChecksum(Buffer.concat([bytes(0x11, 100), Buffer.alloc(10), text(token)]), 2), {
    options: bytes(148, 4, 0, 0),
  })

/** @param from, to 32 hexadecimal digits */
export function icmp6(from: string, to: string, kind: number, rest: Buffer): Buffer {
  const part = Buffer.concat([bytes(kind, 0, 0, 0), rest])
  const ends = Buffer.concat([Buffer.from(from, 'hex'), Buffer.from(to, 'hex')])
  const pseudo = Buffer.concat([ends, bytes(0, 0), u16(part.length), bytes(0, 0, 0, protocol.icmpv6)])
  return ipv6(protocol.icmpv6, ends, withChecksum(part, 2, pseudo))
}

export function udp6(from: string, to: string, toPort: number, token: string): Buffer {
  const ends = Buffer.concat([Buffer.from(from, 'hex'), Buffer.from(to, 'hex')])
  const part = udpPart(40_000, toPort, text(token))
  return ipv6(
    protocol.udp,
    ends,
    withChecksum(part, 6, Buffer.concat([ends, bytes(0, 0), u16(part.length), bytes(0, 0, 0, protocol.udp)])),
  )
}

const ipv6 = (kind: number, ends: Buffer, payload: Buffer) =>
  Buffer.concat([bytes(0x60, 0, 0, 0), u16(payload.length), bytes(kind, 255), ends, payload])

export interface Dhcp {
  kind: 'discover' | 'offer' | 'request' | 'decline' | 'release'
  mac: string
  /** What the client has. */
  ip?: string
  /** What it asks for, or is offered. */
  address?: string
  server?: string
  relay?: string
  clientId?: Buffer
  hostname?: string
  xid?: number
}

/** The message; it carries the token as its vendor class. */
export function dhcp(message: Dhcp, token: string): Buffer {
  const zero = '0.0.0.0'
  const offer = message.kind === 'offer'
  const kinds = { discover: 1, offer: 2, request: 3, decline: 4, release: 7 }
  const option = (code: number, data: Buffer | undefined) =>
    data ? Buffer.concat([bytes(code, data.length), data]) : bytes()
  const xid = Buffer.alloc(4)
  xid.writeUInt32BE(message.xid ?? 0x43524f46)
  return Buffer.concat([
    bytes(offer ? 2 : 1, 1, 6, 0),
    xid,
    bytes(0, 0, 0x80, 0),
    ...[message.ip, offer ? message.address : zero, zero, message.relay].map((ip) => ipBytes(ip ?? zero)),
    macBytes(message.mac),
    Buffer.alloc(10 + 64 + 128),
    bytes(99, 130, 83, 99),
    option(53, bytes(kinds[message.kind])),
    option(54, message.server ? ipBytes(message.server) : undefined),
    option(50, message.address && !offer ? ipBytes(message.address) : undefined),
    option(61, message.clientId),
    option(12, message.hostname ? text(message.hostname) : undefined),
    option(60, text(token)),
    bytes(255),
  ])
}

/** A DHCP message as UDP packet, from the port on which clients or servers speak. */
export function dhcpPacket(from: string, to: string, message: Dhcp, token: string): Buffer {
  const server = message.kind === 'offer'
  return ipv4(protocol.udp, from, to, udpPart(server ? 67 : 68, server ? 68 : 67, dhcp(message, token)))
}
