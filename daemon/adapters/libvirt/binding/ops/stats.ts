import { domainStates } from '../enum-names.ts'
import { borrowString, callNative, type Pointer, pointerAt, read, slot, vir } from '../ffi.ts'
import { domainUuid, lend } from './handles.ts'

/**
 * Values by libvirt's names, e.g. `state.state`, `balloon.current` (KiB), `block.0.rd.bytes`. See
 * virConnectGetAllDomainStats.
 */
export type DomainStats = Record<string, number | boolean | string>

/** `struct _virTypedParameter`: name of 80 bytes, type at 80, an 8-byte union at 88. */
const PARAMETER_BYTES = 96
const readValue: Readonly<Record<number, (union: Buffer) => number | boolean | string>> = {
  1: (union) => union.readInt32LE(),
  2: (union) => union.readUInt32LE(),
  3: (union) => Number(union.readBigInt64LE()),
  4: (union) => Number(union.readBigUInt64LE()),
  5: (union) => union.readDoubleLE(),
  6: (union) => union.readUInt8() !== 0,
  7: (union) => borrowString(pointerAt(union)) ?? '',
}

/** Encodes an integer as a typed parameter, for functions that set values. */
export function parameter(name: string, type: 'uint' | 'llong' | 'ullong', value: number): Buffer {
  const parameter = Buffer.alloc(PARAMETER_BYTES)
  parameter.write(name, 'latin1')
  parameter.writeInt32LE({ uint: 2, llong: 3, ullong: 4 }[type], 80)
  parameter.writeBigInt64LE(BigInt(value), 88)
  return parameter
}

function parameters(address: Pointer, count: number): DomainStats {
  const all = read(address, count * PARAMETER_BYTES)
  const stats: DomainStats = {}
  for (let at = 0; at < all.length; at += PARAMETER_BYTES) {
    const name = all.toString('latin1', at, all.indexOf(0, at))
    const value = readValue[all.readInt32LE(at + 80)]?.(all.subarray(at + 88, at + PARAMETER_BYTES))
    if (value !== undefined) stats[name] = value
  }
  return stats
}

/**
 * Reads the records that libvirt put into the slot: a NULL-terminated array of `struct _virDomainStatsRecord`: domain
 * at 0, parameters at 8, count at 16.
 */
function takeRecords(list: Buffer, count: number): Record<string, DomainStats> {
  return lend(pointerAt(list), vir.virDomainStatsRecordListFree, (address) => {
    const records = read(address, count * 8)
    const result: Record<string, DomainStats> = {}
    for (let i = 0; i < count; i++) {
      const record = read(pointerAt(records, i * 8), 24)
      const stats = parameters(pointerAt(record, 8), record.readInt32LE(16))
      result[domainUuid(pointerAt(record, 0))] = withoutStaleCpu(stats)
    }
    return result
  })
}

/** Drops cpu.* of a domain that does not run: for such a domain libvirt reports the values of a whole cgroup tree. */
function withoutStaleCpu(stats: DomainStats): DomainStats {
  const state = domainStates[Number(stats['state.state'])]
  if (state === 'running' || state === 'paused') return stats
  return Object.fromEntries(Object.entries(stats).filter(([name]) => !name.startsWith('cpu.')))
}

export const statsOps = {
  /**
   * Returns the stats of every domain, by UUID. `groups`: a sum of VIR.DOMAIN_STATS_* (the state is always included).
   * flags: VIR.CONNECT_GET_ALL_DOMAINS_STATS_*
   */
  domainStatsOfAll(conn: Pointer, groups: number, flags = 0): Record<string, DomainStats> {
    const list = slot()
    return takeRecords(list, callNative('virConnectGetAllDomainStats', conn, groups | STATS_STATE, list, flags))
  },
}

const STATS_STATE = 1
