import { callNative, type Pointer, pointerAt, slot, takeList, takeString, vir } from '../ffi.ts'
import { lend, networkName, networkUuid, withNetwork } from './handles.ts'

export interface NetworkSummary {
  uuid: string
  name: string
  active: boolean
  autostart: boolean
  persistent: boolean
}

function summary(network: Pointer): NetworkSummary {
  return {
    uuid: networkUuid(network),
    name: networkName(network),
    active: isActive(network),
    autostart: autostart(network),
    persistent: callNative('virNetworkIsPersistent', network) === 1,
  }
}

const isActive = (network: Pointer): boolean => callNative('virNetworkIsActive', network) === 1

function autostart(network: Pointer): boolean {
  const flag = slot()
  callNative('virNetworkGetAutostart', network, flag)
  return flag.readInt32LE() === 1
}

/** Operations on networks, given by UUID. */
export const networkOps = {
  networkList(conn: Pointer): NetworkSummary[] {
    const list = slot()
    const count = callNative('virConnectListAllNetworks', conn, list, 0)
    return takeList(pointerAt(list), count, summary, vir.virNetworkFree)
  },

  /** @throws LibvirtError NO_NETWORK */
  networkFindByName(conn: Pointer, name: string): NetworkSummary {
    return lend(callNative('virNetworkLookupByName', conn, name), vir.virNetworkFree, summary)
  },

  /** Defines or redefines a persistent network. Returns its UUID. */
  networkDefine(conn: Pointer, xml: string): string {
    return lend(callNative('virNetworkDefineXML', conn, xml), vir.virNetworkFree, networkUuid)
  },

  networkStart(conn: Pointer, uuid: string): void {
    withNetwork(conn, uuid, (network) => callNative('virNetworkCreate', network))
  },

  /** Stops a network; a persistent one stays defined. */
  networkDestroy(conn: Pointer, uuid: string): void {
    withNetwork(conn, uuid, (network) => callNative('virNetworkDestroy', network))
  },

  networkUndefine(conn: Pointer, uuid: string): void {
    withNetwork(conn, uuid, (network) => callNative('virNetworkUndefine', network))
  },

  networkSetAutostart(conn: Pointer, uuid: string, on: boolean): void {
    withNetwork(conn, uuid, (network) => callNative('virNetworkSetAutostart', network, Number(on)))
  },

  /** flags: VIR.NETWORK_XML_INACTIVE */
  networkXml(conn: Pointer, uuid: string, flags = 0): string {
    return withNetwork(conn, uuid, (network) => takeString(callNative('virNetworkGetXMLDesc', network, flags)))
  },

  /**
   * Changes one element in place, e.g. adds a DHCP `<host>`. `command`: VIR.NETWORK_UPDATE_COMMAND_*, `section`:
   * VIR.NETWORK_SECTION_*, `index`: the parent element, -1 to let libvirt choose. flags: VIR.NETWORK_UPDATE_AFFECT_*
   */
  networkUpdate(
    conn: Pointer,
    uuid: string,
    command: number,
    section: number,
    xml: string,
    index = -1,
    flags = 0,
  ): void {
    withNetwork(conn, uuid, (network) => callNative('virNetworkUpdate', network, command, section, index, xml, flags))
  },
}
