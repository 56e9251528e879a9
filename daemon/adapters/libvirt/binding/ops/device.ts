import { callNative, type Pointer, pointerAt } from '../ffi.ts'
import { withDomain } from './handles.ts'
import { parameter } from './stats.ts'

/** Operations on a domain's devices and disks. `disk` is a target (`vda`) or a source path. */
export const deviceOps = {
  /**
   * Sets the balloon's target (what the guest may use now), or with VIR.DOMAIN_MEM_MAXIMUM the maximum. flags:
   * VIR.DOMAIN_AFFECT_*
   */
  domainSetMemory(conn: Pointer, uuid: string, memoryKiB: number, flags = 0): void {
    withDomain(conn, uuid, (domain) => callNative('virDomainSetMemoryFlags', domain, memoryKiB, flags))
  },

  /**
   * Returns the KiB that a running domain's balloon leaves the guest now, as QEMU reports it.
   * `struct _virDomainMemoryStat`, 16 bytes: tag at 0, value at 8.
   */
  domainBalloon(conn: Pointer, uuid: string): number {
    const actual = 6 // VIR_DOMAIN_MEMORY_STAT_ACTUAL_BALLOON
    const [most, bytes] = [16, 16]
    const stats = Buffer.alloc(most * bytes)
    const count = withDomain(conn, uuid, (domain) => callNative('virDomainMemoryStats', domain, stats, most, 0))
    const at = Array.from({ length: count }, (_, i) => i * bytes).find((each) => stats.readInt32LE(each) === actual)
    return at === undefined ? 0 : pointerAt(stats, at + 8)
  },

  /**
   * Sets how often the guest's balloon driver reports its memory, in seconds; 0 for never. flags: VIR.DOMAIN_AFFECT_*
   */
  domainSetMemoryStatsPeriod(conn: Pointer, uuid: string, seconds: number, flags = 0): void {
    withDomain(conn, uuid, (domain) => callNative('virDomainSetMemoryStatsPeriod', domain, seconds, flags))
  },

  /**
   * Sets a domain's CPU weight, relative to the other domains that compete for CPUs. The default is 1024 with cgroups
   * v1, 100 with cgroups v2. flags: VIR.DOMAIN_AFFECT_*
   * @throws LibvirtError OPERATION_INVALID where the box has no cgroups for CPUs
   */
  domainSetCpuShares(conn: Pointer, uuid: string, shares: number, flags = 0): void {
    const cpuShares = parameter('cpu_shares', 'ullong', shares)
    withDomain(conn, uuid, (domain) => callNative('virDomainSetSchedulerParametersFlags', domain, cpuShares, 1, flags))
  },

  /**
   * Sets the CPU time that a whole domain may use in each period, both in µs; below 0 for no limit. flags:
   * VIR.DOMAIN_AFFECT_*
   * @throws LibvirtError OPERATION_INVALID where the box has no cgroups for CPUs
   */
  domainSetCpuQuota(conn: Pointer, uuid: string, periodUs: number, quotaUs: number, flags = 0): void {
    const both = [parameter('global_period', 'ullong', periodUs), parameter('global_quota', 'llong', quotaUs)]
    withDomain(conn, uuid, (domain) =>
      callNative('virDomainSetSchedulerParametersFlags', domain, Buffer.concat(both), both.length, flags),
    )
  },

  /**
   * Sets a domain's disk weight, relative to the other domains that compete for the disk; default 100. flags:
   * VIR.DOMAIN_AFFECT_*
   * @throws LibvirtError OPERATION_INVALID where the box's kernel does not support disk weights
   */
  domainSetDiskWeight(conn: Pointer, uuid: string, weight: number, flags = 0): void {
    const ofDisks = parameter('weight', 'uint', weight)
    withDomain(conn, uuid, (domain) => callNative('virDomainSetBlkioParameters', domain, ofDisks, 1, flags))
  },

  /**
   * Limits the bytes per second that a guest reads and writes in total; QEMU enforces it. 0 for no limit. flags:
   * VIR.DOMAIN_AFFECT_*
   */
  domainSetDiskLimit(conn: Pointer, uuid: string, disk: string, bytesPerS: number, flags = 0): void {
    const total = parameter('total_bytes_sec', 'ullong', bytesPerS)
    withDomain(conn, uuid, (domain) => callNative('virDomainSetBlockIoTune', domain, disk, total, 1, flags))
  },

  /**
   * Starts committing the layers from `top` down to and into `base`. Null means the active layer for `top`, and the
   * lowest layer for `base`. Bandwidth in MiB/s. flags: VIR.DOMAIN_BLOCK_COMMIT_*
   */
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

  /**
   * Ends the job on this disk; with VIR.DOMAIN_BLOCK_JOB_ABORT_PIVOT the disk pivots to a ready job's target. flags:
   * VIR.DOMAIN_BLOCK_JOB_ABORT_*
   */
  domainBlockJobAbort(conn: Pointer, uuid: string, disk: string, flags = 0): void {
    withDomain(conn, uuid, (domain) => callNative('virDomainBlockJobAbort', domain, disk, flags))
  },

  /** Returns the disk's size as the guest sees it. */
  domainBlockResize(conn: Pointer, uuid: string, disk: string, bytes: number): void {
    const sizeInBytes = 1
    withDomain(conn, uuid, (domain) => callNative('virDomainBlockResize', domain, disk, bytes, sizeInBytes))
  },
}
