export {
  type Libvirt,
  type LibvirtCalls,
  type LibvirtChild,
  type LibvirtOptions,
  type LibvirtStatus,
  openLibvirt,
} from './client.ts'
export { VIR } from './constants.ts'
export { LibvirtError, toCroftError } from './errors.ts'
export type { LibvirtEvent } from './event.ts'
export type { BlockJob } from './ops/device.ts'
export type { DomainSummary } from './ops/domain.ts'
export type { InterfaceAddresses } from './ops/guest.ts'
export type { DhcpLease, NetworkSummary } from './ops/network.ts'
export type { NodeInfo } from './ops/node.ts'
export type { DomainStats } from './ops/stats.ts'
export type { CallOptions } from './pool.ts'
export type { DomainState } from './words.ts'
