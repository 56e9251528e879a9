import { BlockList, isIP } from 'node:net'

/** An address as people write it: a dual-stack socket reports IPv4 addresses as IPv6 (`::ffff:10.0.0.1`). Pure. */
export const plainAddress = (address: string): string => address.replace(/^::ffff:(?=\d+\.)/, '')

/** Whether an address is in a list like a certificate's `source-address`: `10.0.0.0/8,2001:db8::1`. Pure. */
export function isWithin(address: string, list: string): boolean {
  const family = (text: string) => (isIP(text) === 6 ? 'ipv6' : 'ipv4')
  const known = new BlockList()
  for (const each of list.split(',')) {
    const [net = '', bits] = each.trim().split('/')
    if (!isIP(net)) return false
    const most = isIP(net) === 6 ? 128 : 32
    const prefix = bits === undefined ? most : Number(bits)
    if (!Number.isInteger(prefix) || prefix < 0 || prefix > most) return false
    known.addSubnet(net, prefix, family(net))
  }
  const plain = plainAddress(address)
  return isIP(plain) !== 0 && known.check(plain, family(plain))
}

/** Returns the address at which the box itself reaches a server that listens on `address`. Pure. */
export const reachedFromBox = (address: string): string => (['::', '0.0.0.0'].includes(address) ? '127.0.0.1' : address)
