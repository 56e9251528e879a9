import { type DomainState, stateWords } from '../enum-names.ts'
import { callNative, type Pointer, pointerAt, slot, takeList, takeString, vir } from '../ffi.ts'
import { domainUuid, lend, readDomainName, withDomain } from './handles.ts'

export interface DomainSummary {
  uuid: string
  name: string
  /** QEMU's number within libvirt while it runs, else null. */
  id: number | null
  state: DomainState
  /** Why it is in that state, e.g. `booted`, `destroyed`, `saved`. */
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

/** What a domain is and whether it runs. All take its UUID; flags are sums of the constants named. */
export const domainOps = {
  /** Every domain, running or not. One that vanishes amid the listing is left out. */
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

  /** Defines or redefines a persistent domain; answers with its UUID. flags: VIR.DOMAIN_DEFINE_* */
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

  /** Asks the guest to shut down and returns at once. flags: VIR.DOMAIN_SHUTDOWN_* */
  domainShutdown(conn: Pointer, uuid: string, flags = 0): void {
    withDomain(conn, uuid, (domain) => callNative('virDomainShutdownFlags', domain, flags))
  },

  /** Pulls the plug. flags: VIR.DOMAIN_DESTROY_GRACEFUL fails rather than send SIGKILL. */
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

/** For the members of a list: a failure to read one is no failure of the whole. */
function attempt<T>(body: (item: Pointer) => T): (item: Pointer) => T | undefined {
  return (item) => {
    try {
      return body(item)
    } catch {
      return undefined
    }
  }
}
