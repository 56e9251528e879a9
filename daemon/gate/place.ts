/** Where a host name leads: to Croft itself, or to a VM and one of its ports (null: its main one). */
export type Place = { kind: 'croft' } | { kind: 'vm'; name: string; port: number | null }

/** `<vm>` or `<vm>-<port>`: no VM's name ends in `-<digits>` (see `checkVmName`), so there is only one way to read it. */
const label = /^([a-z](?:[a-z0-9-]{0,38}[a-z0-9])?)$/
const portLabel = /^(.+)-([0-9]{1,40})$/

/**
 * What the value of a Host header stands for on a box with this domain: `croft.<domain>`, `<vm>.<domain>` or
 * `<vm>-<port>.<domain>`, with or without a port of its own, in any case. Pure.
 * @returns undefined for anything else, which gets no answer but that
 */
export function placeOf(host: string, domain: string): Place | undefined {
  const name = hostName(host)
  if (!name.endsWith(`.${domain}`)) return undefined
  const first = name.slice(0, -domain.length - 1)
  if (first === 'croft') return { kind: 'croft' }
  const [, vm = first, digits] = portLabel.exec(first) ?? []
  const port = digits === undefined ? null : Number(digits)
  if (!label.test(vm) || (port !== null && (digits!.startsWith('0') || port > 65535))) return undefined
  return { kind: 'vm', name: vm, port }
}

/** A Host header's name, without its port. Pure. */
export const hostName = (host: string): string => host.toLowerCase().replace(/:[0-9]{1,5}$/, '')

/** The port in a Host header, as it stands in an address: `:8080`, or nothing. Pure. */
export const portSuffix = (host: string): string => /:[0-9]{1,5}$/.exec(host)?.[0] ?? ''
