import type { OpName } from './binding/ops/index.ts'

const second = 1000
const minute = 60 * second

/**
 * How long an operation may take from the moment a child starts it, if 10 s are not enough: operations that move memory
 * or disks, that wait for a guest, or in which libvirtd probes QEMU's capabilities, as it does after each upgrade.
 */
const deadlinesMs: Partial<Record<OpName, number>> = {
  version: minute,
  capabilities: minute,
  domainCapabilities: minute,
  domainDefine: minute,
  domainStart: minute,
  domainDestroy: minute,
  domainSave: 15 * minute,
  domainRestore: 15 * minute,
  domainSnapshot: 15 * minute,
  domainBlockJobAbort: 5 * minute,
  domainAgentCommand: 2 * minute,
  networkStart: minute,
  networkDestroy: minute,
}

/** Returns the deadline of an operation in ms. */
export function deadlineMs(op: OpName): number {
  return deadlinesMs[op] ?? 10 * second
}
