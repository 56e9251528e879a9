import { callNative, type Pointer, pointerAt } from '../ffi.ts'
import { withDomain } from './handles.ts'
import { parameter } from './stats.ts'

/** Devices of a domain and the work on its disks. `disk` is a target (`vda`) or a source path. */
export const deviceOps = {
  /** The balloon's target (what the guest may use now), or with VIR.DOMAIN_MEM_MAXIMUM its ceiling. flags: VIR.DOMAIN_AFFECT_* */
  domainSetMemory(conn: Pointer, uuid: string, memoryKiB: number, flags = 0): void {
    withDomain(conn, uuid, (domain) => callNative('virDomainSetMemoryFlags', domain, memoryKiB, flags))
  },

  /** KiB that its balloon leaves a running domain at this moment, as QEMU says. `struct _virDomainMemoryStat`, 16 bytes: tag at 0, value at 8. */
  domainBalloon(conn: Pointer, uuid: string): number {
    const actual = 6 // VIR_DOMAIN_MEMORY_STAT_ACTUAL_BALLOON
    const [most, bytes] = [16, 16]
    const stats = Buffer.alloc(most * bytes)
    const count = withDomain(conn, uuid, (domain) => callNative('virDomainMemoryStats', domain, stats, most, 0))
    const at = Array.from({ length: count }, (_, i) => i * bytes).find((each) => stats.readInt32LE(each) === actual)
    return at === undefined ? 0 : pointerAt(stats, at + 8)
  },

  /** How often the guest's balloon driver reports its memory; 0 for never. flags: VIR.DOMAIN_AFFECT_* */
  domainSetMemoryStatsPeriod(conn: Pointer, uuid: string, seconds: number, flags = 0): void {
    withDomain(conn, uuid, (domain) => callNative('virDomainSetMemoryStatsPeriod', domain, seconds, flags))
  },

  /**
   * How much of the CPUs a domain gets beside others that want them, in proportion to theirs: unless said 1024 by cgroups of version 1, 100 by those of 2. flags: VIR.DOMAIN_AFFECT_*
   * @throws LibvirtError OPERATION_INVALID where the box has no cgroups for CPUs
   */
  domainSetCpuShares(conn: Pointer, uuid: string, shares: number, flags = 0): void {
    const cpuShares = parameter('cpu_shares', 'ullong', shares)
    withDomain(conn, uuid, (domain) => callNative('virDomainSetSchedulerParametersFlags', domain, cpuShares, 1, flags))
  },

  /**
   * The CPU time that all of a domain has in each period, both in µs; below 0 for no limit. flags: VIR.DOMAIN_AFFECT_*
   * @throws LibvirtError OPERATION_INVALID where the box has no cgroups for CPUs
   */
  domainSetCpuQuota(conn: Pointer, uuid: string, periodUs: number, quotaUs: number, flags = 0): void {
    const both = [parameter('global_period', 'ullong', periodUs), parameter('global_quota', 'llong', quotaUs)]
    withDomain(conn, uuid, (domain) =>
      callNative('virDomainSetSchedulerParametersFlags', domain, Buffer.concat(both), both.length, flags),
    )
  },

  /**
   * How much of its disks a domain gets beside others that want them: 100 unless said. flags: VIR.DOMAIN_AFFECT_*
   * @throws LibvirtError OPERATION_INVALID where the box's kernel has no weights for disks
   */
  domainSetDiskWeight(conn: Pointer, uuid: string, weight: number, flags = 0): void {
    const ofDisks = parameter('weight', 'uint', weight)
    withDomain(conn, uuid, (domain) => callNative('virDomainSetBlkioParameters', domain, ofDisks, 1, flags))
  },

  /** Bytes per second that a guest reads from and writes to a disk together, held to by QEMU; 0 for no limit. flags: VIR.DOMAIN_AFFECT_* */
  domainSetDiskLimit(conn: Pointer, uuid: string, disk: string, bytesPerS: number, flags = 0): void {
    const total = parameter('total_bytes_sec', 'ullong', bytesPerS)
    withDomain(conn, uuid, (domain) => callNative('virDomainSetBlockIoTune', domain, disk, total, 1, flags))
  },

  /** Starts to merge the layers from `top` down into `base` (null: the active layer, the lowest layer). Bandwidth in MiB/s. flags: VIR.DOMAIN_BLOCK_COMMIT_* */
  domainBlockCommit(
    conn: Pointer,
    uuid: string,
    disk: string,
    base: string | null,
    top: string | null,
    bandwidthMiB = 0,
    flags = 0,
  ): void {
    withDomain(conn, uuid, (domain) => callNative('virDomainBlockCommit', domain, disk, base, top, bandwidthMiB, flags))
  },

  /** Ends the job on this disk; with VIR.DOMAIN_BLOCK_JOB_ABORT_PIVOT a job that is ready becomes the disk. flags: VIR.DOMAIN_BLOCK_JOB_ABORT_* */
  domainBlockJobAbort(conn: Pointer, uuid: string, disk: string, flags = 0): void {
    withDomain(conn, uuid, (domain) => callNative('virDomainBlockJobAbort', domain, disk, flags))
  },

  /** The disk's size as the guest sees it. */
  domainBlockResize(conn: Pointer, uuid: string, disk: string, bytes: number): void {
    const sizeInBytes = 1
    withDomain(conn, uuid, (domain) => callNative('virDomainBlockResize', domain, disk, bytes, sizeInBytes))
  },
}
