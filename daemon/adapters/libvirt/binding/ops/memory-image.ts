import { borrowString, callNative, type Pointer, vir } from '../ffi.ts'
import { lend, withDomain } from './handles.ts'

/** A domain's memory on disk: save and restore, managed save, snapshots. */
export const memoryImageOps = {
  /** Writes memory and state to the file and stops the domain; `xml`, if given, takes the place of its XML there. flags: VIR.DOMAIN_SAVE_* */
  domainSave(conn: Pointer, uuid: string, path: string, xml: string | null = null, flags = 0): void {
    withDomain(conn, uuid, (domain) => callNative('virDomainSaveFlags', domain, path, xml, flags))
  },

  /** Starts a domain from a save file; `xml`, if given, takes the place of the file's (same ABI, name and UUID). flags: VIR.DOMAIN_SAVE_* */
  domainRestore(conn: Pointer, path: string, xml: string | null = null, flags = 0): void {
    callNative('virDomainRestoreFlags', conn, path, xml, flags)
  },

  /** Whether a job is under way that saves or moves the domain's memory. `struct _virDomainJobInfo`: type at 0, 1 and 2 mean so. */
  domainHasJob(conn: Pointer, uuid: string): boolean {
    const info = Buffer.alloc(128)
    withDomain(conn, uuid, (domain) => callNative('virDomainGetJobInfo', domain, info))
    return [1, 2].includes(info.readInt32LE(0))
  },

  /** Ends that job; the domain goes on as before, and the call that began the job fails. @throws LibvirtError OPERATION_INVALID without a job */
  domainAbortJob(conn: Pointer, uuid: string): void {
    withDomain(conn, uuid, (domain) => callNative('virDomainAbortJob', domain))
  },

  /** Takes a snapshot as the `<domainsnapshot>` XML says; answers with its name. flags: VIR.DOMAIN_SNAPSHOT_CREATE_* */
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
