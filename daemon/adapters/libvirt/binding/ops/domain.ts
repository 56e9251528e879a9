import { type DomainState, stateWords } from '../enum-names.ts'
import { callNative, type Pointer, pointerAt, slot, takeList, takeString, vir } from '../ffi.ts'
import { domainUuid, lend, readDomainName, withDomain } from './handles.ts'

export interface DomainSummary {
  uuid: string
  name: string
  /** libvirt's number for the domain while it runs, otherwise null. */
  id: number | null
  state: DomainState
  /** Why the domain is in that state, e.g. `booted`, `destroyed`, `saved`. */
  reason: string
}

function stateOf(domain: Pointer): { state: DomainState; reason: string } {
  const state = slot()
  const reason = slot()
  callNative('virDomainGetState', domain, state, reason, 0)
  return stateWords(state.readInt32LE(), reason.readInt32LE())
}

function summary(domain: Pointer): DomainSummary {
  const id = vir.virDomainGetID(domain)
  return {
    uuid: domainUuid(domain),
    name: readDomainName(domain),
    id: id === 0xffffffff ? null : id,
    ...stateOf(domain),
  }
}

/**
 * Operations that describe, define, start and stop domains. Domains are given by UUID; flags are sums of the constants
 * named.
 */
export const domainOps = {
  /** Lists every domain, running or not. A domain that vanishes during the listing is left out. */
  domainList(conn: Pointer): DomainSummary[] {
    const list = slot()
    const count = callNative('virConnectListAllDomains', conn, list, 0)
    return takeList(pointerAt(list), count, attempt(summary), vir.virDomainFree).flatMap((found) => found ?? [])
  },

  domainState(conn: Pointer, uuid: string): { state: DomainState; reason: string } {
    return withDomain(conn, uuid, stateOf)
  },

  /** flags: VIR.DOMAIN_XML_* */
  domainXml(conn: Pointer, uuid: string, flags = 0): string {
    return withDomain(conn, uuid, (domain) => takeString(callNative('virDomainGetXMLDesc', domain, flags)))
  },

  /** Defines or redefines a persistent domain. Returns its UUID. flags: VIR.DOMAIN_DEFINE_* */
  domainDefine(conn: Pointer, xml: string, flags = 0): string {
    return lend(callNative('virDomainDefineXMLFlags', conn, xml, flags), vir.virDomainFree, domainUuid)
  },

  /** flags: VIR.DOMAIN_UNDEFINE_* */
  domainUndefine(conn: Pointer, uuid: string, flags = 0): void {
    withDomain(conn, uuid, (domain) => callNative('virDomainUndefineFlags', domain, flags))
  },

  /** Starts a defined domain. flags: VIR.DOMAIN_START_* */
  domainStart(conn: Pointer, uuid: string, flags = 0): void {
    withDomain(conn, uuid, (domain) => callNative('virDomainCreateWithFlags', domain, flags))
  },

  /** Asks the guest to shut down and returns immediately. flags: VIR.DOMAIN_SHUTDOWN_* */
  domainShutdown(conn: Pointer, uuid: string, flags = 0): void {
    withDomain(conn, uuid, (domain) => callNative('virDomainShutdownFlags', domain, flags))
  },

  /**
   * Ends a domain without asking the guest. flags: with VIR.DOMAIN_DESTROY_GRACEFUL, fails rather than send SIGKILL.
   */
  domainDestroy(conn: Pointer, uuid: string, flags = 0): void {
    withDomain(conn, uuid, (domain) => callNative('virDomainDestroyFlags', domain, flags))
  },

  domainSuspend(conn: Pointer, uuid: string): void {
    withDomain(conn, uuid, (domain) => callNative('virDomainSuspend', domain))
  },

  domainResume(conn: Pointer, uuid: string): void {
    withDomain(conn, uuid, (domain) => callNative('virDomainResume', domain))
  },
}

/** For the items of a list: a failure to read one item does not fail the whole listing. */
function attempt<T>(body: (item: Pointer) => T): (item: Pointer) => T | undefined {
  return (item) => {
    try {
      return body(item)
    } catch {
      return undefined
    }
  }
}
