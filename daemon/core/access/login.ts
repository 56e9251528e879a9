/** What an SSH client asks for with the name before the `@`. */
export type Login = { to: 'lobby' } | { to: 'vm'; vm: string; user: string | undefined }

const lobby = 'croft'
const userName = /^[a-z_][a-z0-9_-]{0,31}$/

/** Parses an SSH user name: `croft` is the lobby, `web` a VM, `root+web` a user of a VM. Undefined for others. Pure. */
export function parseLogin(name: string): Login | undefined {
  if (name === lobby) return { to: 'lobby' }
  const plus = name.lastIndexOf('+')
  const [user, vm] = plus < 0 ? [undefined, name] : [name.slice(0, plus), name.slice(plus + 1)]
  if (!/^[A-Za-z0-9_.-]{1,64}$/.test(vm) || (user !== undefined && !userName.test(user))) return undefined
  return { to: 'vm', vm, user }
}

/**
 * The VM that a host name means to a client that jumps through the lobby (`ssh -J croft@box web`): the VM's name, with
 * or without the box's domain. Pure.
 */
export function vmOfHost(host: string, domain: string): string {
  const name = host.toLowerCase().replace(/\.$/, '')
  return name.endsWith(`.${domain}`) ? name.slice(0, -domain.length - 1) : name
}
