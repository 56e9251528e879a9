import { borrowString, callNative, type Pointer, vir } from '../ffi.ts'
import { lend, withDomain } from './handles.ts'

/** Operations on a domain's memory on disk: save and restore, managed save, snapshots. */
export const memoryImageOps = {
  /**
   * Saves memory and state to the file and stops the domain. `xml`, if given, replaces the domain's XML in the file.
   * flags: VIR.DOMAIN_SAVE_*
   */
  domainSave(conn: Pointer, uuid: string, path: string, xml: string | null = null, flags = 0): void {
    withDomain(conn, uuid, (domain) => callNative('virDomainSaveFlags', domain, path, xml, flags))
  },

  /**
   * Starts a domain from a save file. `xml`, if given, replaces the XML in the file (same ABI, name and UUID). flags:
   * VIR.DOMAIN_SAVE_*
   */
  domainRestore(conn: Pointer, path: string, xml: string | null = null, flags = 0): void {
    callNative('virDomainRestoreFlags', conn, path, xml, flags)
  },

  /**
   * Tells whether a job is saving or migrating the domain's memory. `struct _virDomainJobInfo`: type at 0; 1 and 2 mean
   * yes.
   */
  domainHasJob(conn: Pointer, uuid: string): boolean {
    const info = Buffer.alloc(128)
    withDomain(conn, uuid, (domain) => callNative('virDomainGetJobInfo', domain, info))
    return [1, 2].includes(info.readInt32LE(0))
  },

  /**
   * Aborts the job that is saving or migrating the domain's memory. The domain continues as before, and the call that
   * started the job fails.
   * @throws LibvirtError OPERATION_INVALID without a job
   */
  domainAbortJob(conn: Pointer, uuid: string): void {
    withDomain(conn, uuid, (domain) => callNative('virDomainAbortJob', domain))
  },

  /** Sets for how long, in ms, the domain may stand still at the end of a job that moves its memory while it runs. */
  domainSetMaxDowntime(conn: Pointer, uuid: string, ms: number): void {
    withDomain(conn, uuid, (domain) => callNative('virDomainMigrateSetMaxDowntime', domain, ms, 0))
  },

  /**
   * Takes a snapshot as described by the `<domainsnapshot>` XML. Returns its name. flags: VIR.DOMAIN_SNAPSHOT_CREATE_*
   */
  domainSnapshot(conn: Pointer, uuid: string, xml: string, flags = 0): string {
    return withDomain(conn, uuid, (domain) => {
      const snapshot = callNative('virDomainSnapshotCreateXML', domain, xml, flags)
      return lend(
        snapshot,
        vir.virDomainSnapshotFree,
        (handle) => borrowString(callNative('virDomainSnapshotGetName', handle)) ?? '',
      )
    })
  },
}
