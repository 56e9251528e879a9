import { BlockList, isIP } from 'node:net'

/** What somebody who comes by SSH asks for, by the name before the `@`. */
export type Login = { to: 'lobby' } | { to: 'vm'; vm: string; user: string | undefined }

const lobby = 'croft'
const userName = /^[a-z_][a-z0-9_-]{0,31}$/

/** `croft` is the lobby, `web` a VM, `root+web` a user of a VM's. Undefined for what is none of them. Pure. */
export function parseLogin(name: string): Login | undefined {
  if (name === lobby) return { to: 'lobby' }
  const plus = name.lastIndexOf('+')
  const [user, vm] = plus < 0 ? [undefined, name] : [name.slice(0, plus), name.slice(plus + 1)]
  if (!/^[A-Za-z0-9_.-]{1,64}$/.test(vm) || (user !== undefined && !userName.test(user))) return undefined
  return { to: 'vm', vm, user }
}

/**
 * The VM that a host name means to somebody who goes through the lobby (`ssh -J croft@box web`): its name, or that
 * beneath the box's domain. Pure.
 */
export function vmOfHost(host: string, domain: string): string {
  const name = host.toLowerCase().replace(/\.$/, '')
  return name.endsWith(`.${domain}`) ? name.slice(0, -domain.length - 1) : name
}

/** An address as people write it: one of IPv4 that came to a socket for both is written as IPv6. Pure. */
export const plainAddress = (address: string): string => address.replace(/^::ffff:(?=\d+\.)/, '')

/** Whether an address is in a list as `source-address` of a certificate has it: `10.0.0.0/8,2001:db8::1`. Pure. */
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
