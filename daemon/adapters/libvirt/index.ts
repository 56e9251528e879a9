export { VIR } from './binding/constants.ts'
export type { DomainState } from './binding/enum-names.ts'
export { LibvirtError, toCroftError } from './binding/errors.ts'
export type { LibvirtEvent } from './binding/event.ts'
export type { DomainSummary } from './binding/ops/domain.ts'
export type { NetworkSummary } from './binding/ops/network.ts'
export type { NodeInfo } from './binding/ops/node.ts'
export type { DomainStats } from './binding/ops/stats.ts'
export {
  type Libvirt,
  type LibvirtCalls,
  type LibvirtChild,
  type LibvirtOptions,
  type LibvirtStatus,
  openLibvirt,
} from './client.ts'
export type { CallOptions } from './pool.ts'
