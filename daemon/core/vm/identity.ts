import { randomBytes, randomUUID } from 'node:crypto'
import { CroftError } from '../../lib/error.ts'
import { randomBase32 } from '../../lib/secret.ts'

/** Makes a new id: the prefix and 10 random base32 characters, 50 bits. */
export function makeId(
  prefix: 'vm' | 'img' | 'lay' | 'mem' | 'bas' | 'chk' | 'lnk' | 'ses' | 'tok' | 'op' | 'bak',
): string {
  return `${prefix}_${randomBase32(10)}`
}

export interface VmIdentity {
  uuid: string
  mac: string
  ip: string
  machineId: string
}

/**
 * Makes everything that tells a new VM from the others: UUID, MAC, IPv4 address, machine-id.
 * @param taken the existing VMs
 * @param subnet of the VMs' network
 * @param from where the search for an address begins, as `nextAddress` gives it
 * @throws CroftError `conflict` when every address is in use
 */
export function makeIdentity(taken: readonly { mac: string; ip: string }[], subnet: Subnet, from: number): VmIdentity {
  return {
    uuid: randomUUID(),
    mac: freeMac(new Set(taken.map((vm) => vm.mac))),
    ip: freeAddress(new Set(taken.map((vm) => vm.ip)), subnet, from),
    machineId: randomBytes(16).toString('hex'),
  }
}

/** 52:54:00 is the prefix that QEMU uses. */
function freeMac(taken: ReadonlySet<string>): string {
  for (;;) {
    const mac = `52:54:00:${randomBytes(3).toString('hex').match(/../g)!.join(':')}`
    if (!taken.has(mac)) return mac
  }
}

/** An IPv4 network: its first address as a number, and the length of its prefix. The box has the first host address. */
export interface Subnet {
  base: number
  prefix: number
}

/** Parses an IPv4 network. @throws CroftError `bad-value` unless it is like 10.77.0.0/16, with a prefix of 8 to 29 */
export function parseSubnet(text: string): Subnet {
  const match = /^(\d+)\.(\d+)\.(\d+)\.(\d+)\/(\d+)$/.exec(text)
  const parts = match?.slice(1).map(Number) ?? []
  const [a = 256, b = 256, c = 256, d = 256, prefix = 0] = parts
  const base = a * 2 ** 24 + b * 2 ** 16 + c * 2 ** 8 + d
  const valid = Math.max(a, b, c, d) <= 255 && prefix >= 8 && prefix <= 29 && base % 2 ** (32 - prefix) === 0
  if (!valid) throw new CroftError('bad-value', `"${text}" is not a subnet.`, { hint: 'Write it like 10.77.0.0/16.' })
  return { base, prefix }
}

export function formatAddress(address: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join('.')
}

export function boxAddress(subnet: Subnet): string {
  return formatAddress(subnet.base + 1)
}

export function netmask(subnet: Subnet): string {
  return formatAddress(2 ** 32 - 2 ** (32 - subnet.prefix))
}

/** Where the search for the next address begins after this one was assigned. */
export function nextAddress(ip: string, subnet: Subnet): number {
  return parseAddress(ip) - subnet.base - 1
}

/**
 * Returns the first free address from a place on, wrapping around the whole network. An address that was just freed is
 * not reused soon: dnsmasq keeps it for the MAC that it was leased to, until that lease ends.
 */
function freeAddress(used: ReadonlySet<string>, subnet: Subnet, from: number): string {
  const count = 2 ** (32 - subnet.prefix) - 3 // without the network's, the box's and the broadcast address
  for (let i = 0; i < count; i++) {
    const ip = formatAddress(subnet.base + 2 + ((from + i) % count))
    if (!used.has(ip)) return ip
  }
  throw new CroftError('conflict', `All ${count} addresses of the VMs' network are in use.`, {
    hint: 'Delete a VM that you no longer need: croft ls, croft rm.',
  })
}

function parseAddress(ip: string): number {
  return ip.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)
}
