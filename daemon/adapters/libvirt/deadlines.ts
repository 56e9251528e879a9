import type { OpName } from './binding/ops/index.ts'

const second = 1000
const minute = 60 * second

/**
 * How long an operation may take, counted from when a child takes it up, where 10 s would not do: what
 * moves memory or disks, waits for a guest, or has libvirtd ask QEMU what it can do, which it does anew after each upgrade.
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

/** The deadline of an operation in ms. */
export function deadlineMs(op: OpName): number {
  return deadlinesMs[op] ?? 10 * second
}
