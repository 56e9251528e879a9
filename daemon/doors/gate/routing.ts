import type { WebConfig } from '../../config.ts'
import { vmNamed } from '../../core/box.ts'
import type { State, Vm, WebSettings } from '../../store/index.ts'

/** How the box is reached by the web: the settings in the store, and the ports in the configuration. */
export interface PublicOrigin {
  domain: string
  /** By HTTPS. */
  secure: boolean
  /** The port as it stands in an address: `:8080`, or nothing where it is the usual one. */
  suffix: string
}

export function publicOriginOf({ domain, tls }: WebSettings, ports: Pick<WebConfig, 'http' | 'https'>): PublicOrigin {
  const secure = tls.mode !== 'off'
  const port = secure ? ports.https : ports.http
  return { domain, secure, suffix: port === (secure ? 443 : 80) ? '' : `:${port}` }
}

/** Host name of a VM, or of one of its ports; of Croft's own address, by the name `croft`. Pure. */
export const hostOf = ({ domain }: PublicOrigin, name: string, port?: number | null): string =>
  `${name}${port == null ? '' : `-${port}`}.${domain}`

/** The address of a host name, without a path: `https://web.box.example.com`. Pure. */
export const originOf = ({ secure, suffix }: PublicOrigin, host: string): string =>
  `${secure ? 'https' : 'http'}://${host}${suffix}`

/** Where a host name leads: to Croft itself, or to a VM and one of its ports (null: its main one). */
export type Place = { kind: 'croft' } | { kind: 'vm'; name: string; port: number | null }

/** `<vm>` or `<vm>-<port>`: no VM's name ends in `-<digits>` (see `checkVmName`), so there is only one way to read it. */
const label = /^([a-z](?:[a-z0-9-]{0,38}[a-z0-9])?)$/
const portLabel = /^(.+)-([0-9]{1,40})$/

/**
 * What a host name stands for on a box with this domain: `croft.<domain>`, `<vm>.<domain>` or `<vm>-<port>.<domain>`. Pure.
 * @param host as `hostName` gives it @returns undefined for anything else, which gets no answer but that
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

/** The VM that an address is for, and which of its ports. */
export interface Target {
  /** Undefined: there might be one, and there is none. */
  vm: Vm | undefined
  port: number | null
}

/** What a host name of a VM leads to: one beneath the domain, or one of its own. @param host as `hostName` gives it */
export function targetOf(state: State, host: string): Target | undefined {
  const own = Object.hasOwn(state.hosts, host) ? state.hosts[host] : undefined
  if (own) return { vm: state.vms[own.vm], port: own.port }
  const place = parseHost(host, state.web.domain)
  return place?.kind === 'vm' ? { vm: vmNamed(state, place.name), port: place.port } : undefined
}

/** A Host header's name, without its port and the dot of an absolute name (RFC 1034, 3.1), in lower case. Pure. */
export const hostName = (host: string): string => host.toLowerCase().replace(/\.?(:[0-9]{1,5})?$/, '')

/** Whether a Host header has that dot. Pure. */
export const isAbsolute = (host: string): boolean => /\.(:[0-9]{1,5})?$/.test(host)

/** The port in a Host header, as it stands in an address: `:8080`, or nothing. Pure. */
export const portSuffix = (host: string): string => /:[0-9]{1,5}$/.exec(host)?.[0] ?? ''
