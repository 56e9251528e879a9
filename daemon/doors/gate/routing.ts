import type { WebConfig } from '../../config.ts'
import { vmNamed } from '../../core/box.ts'
import type { State, Vm, WebSettings } from '../../store/index.ts'

/** How clients reach the box on the web: from the settings in the store and the ports in the configuration. */
export interface PublicOrigin {
  domain: string
  /** Whether it uses HTTPS. */
  secure: boolean
  /** The port as it appears in a URL: `:8080`, or '' for the default port. */
  suffix: string
}

export function publicOriginOf({ domain, tls }: WebSettings, ports: Pick<WebConfig, 'http' | 'https'>): PublicOrigin {
  const secure = tls.mode !== 'off'
  const port = secure ? ports.https : ports.http
  return { domain, secure, suffix: port === (secure ? 443 : 80) ? '' : `:${port}` }
}

/** Returns the host name of a VM or of one of its ports; the name `croft` gives Croft's own address. Pure. */
export const hostOf = ({ domain }: PublicOrigin, name: string, port?: number | null): string =>
  `${name}${port == null ? '' : `-${port}`}.${domain}`

/** Returns the origin of a host name: `https://web.box.example.com`. Pure. */
export const originOf = ({ secure, suffix }: PublicOrigin, host: string): string =>
  `${secure ? 'https' : 'http'}://${host}${suffix}`

/** Where a host name leads: to Croft itself, or to a VM and one of its ports (null for the main one). */
export type Place = { kind: 'croft' } | { kind: 'vm'; name: string; port: number | null }

/** `<vm>` or `<vm>-<port>`. No VM's name ends in `-<digits>` (see `checkVmName`), so a label is unambiguous. */
const label = /^([a-z](?:[a-z0-9-]{0,38}[a-z0-9])?)$/
const portLabel = /^(.+)-([0-9]{1,40})$/

/**
 * Parses a host name of a box with this domain: `croft.<domain>`, `<vm>.<domain>` or `<vm>-<port>.<domain>`. Pure.
 * @param host from `hostName` @returns undefined for anything else
 */
export function parseHost(host: string, domain: string): Place | undefined {
  if (!host.endsWith(`.${domain}`)) return undefined
  const first = host.slice(0, -domain.length - 1)
  if (first === 'croft') return { kind: 'croft' }
  const [, vm = first, digits] = portLabel.exec(first) ?? []
  const port = digits === undefined ? null : Number(digits)
  if (!label.test(vm) || (port !== null && (digits!.startsWith('0') || port > 65535))) return undefined
  return { kind: 'vm', name: vm, port }
}

/** The VM and port that an address leads to. */
export interface Target {
  /** Undefined if the name is well formed but no such VM exists. */
  vm: Vm | undefined
  port: number | null
}

/** Finds where a host name leads: a custom name, or one under the domain. @param host from `hostName` */
export function targetOf(state: State, host: string): Target | undefined {
  const own = Object.hasOwn(state.hosts, host) ? state.hosts[host] : undefined
  if (own) return { vm: state.vms[own.vm], port: own.port }
  const place = parseHost(host, state.web.domain)
  return place?.kind === 'vm' ? { vm: vmNamed(state, place.name), port: place.port } : undefined
}

/** Returns the name in a Host header, in lower case, without the port and the final dot (RFC 1034, 3.1). Pure. */
export const hostName = (host: string): string => host.toLowerCase().replace(/\.?(:[0-9]{1,5})?$/, '')

/** Whether the name in a Host header has a final dot. Pure. */
export const isAbsolute = (host: string): boolean => /\.(:[0-9]{1,5})?$/.test(host)

/** Returns the port in a Host header as it appears in a URL: `:8080`, or ''. Pure. */
export const portSuffix = (host: string): string => /:[0-9]{1,5}$/.exec(host)?.[0] ?? ''
