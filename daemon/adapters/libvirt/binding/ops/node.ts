import { borrowString, callNative, type Pointer, pointerAt, slot, takeString } from '../ffi.ts'

export interface NodeInfo {
  /** The CPU's architecture, e.g. `x86_64`. */
  model: string
  /** KiB in the NUMA cells that libvirt knows. Hot-plugged memory is missing; nodeMemoryStats().total includes it. */
  memoryKiB: number
  cpus: number
  mhz: number
  numaNodes: number
  sockets: number
  coresPerSocket: number
  threadsPerCore: number
}

/** Formats one of libvirt's version numbers: major * 1,000,000 + minor * 1,000 + release. */
function versionText(version: number): string {
  return `${Math.floor(version / 1_000_000)}.${Math.floor(version / 1000) % 1000}.${version % 1000}`
}

/** Operations that describe the box and its libvirt. */
export const nodeOps = {
  /** Returns the hypervisor's name, and the versions of libvirtd and of the hypervisor. */
  version(conn: Pointer): { hypervisor: string; libvirt: string; hypervisorVersion: string } {
    const libvirt = slot()
    const hypervisor = slot()
    callNative('virConnectGetLibVersion', conn, libvirt)
    callNative('virConnectGetVersion', conn, hypervisor)
    return {
      hypervisor: borrowString(callNative('virConnectGetType', conn)) ?? '',
      libvirt: versionText(pointerAt(libvirt)),
      hypervisorVersion: versionText(pointerAt(hypervisor)),
    }
  },

  isAlive(conn: Pointer): boolean {
    return callNative('virConnectIsAlive', conn) === 1
  },

  /**
   * `struct _virNodeInfo`: model of 32 bytes, memory at 32, cpus 40, mhz 44, nodes 48, sockets 52, cores 56, threads
   * 60.
   */
  nodeInfo(conn: Pointer): NodeInfo {
    const info = Buffer.alloc(64)
    callNative('virNodeGetInfo', conn, info)
    return {
      model: info.toString('latin1', 0, info.indexOf(0)),
      memoryKiB: pointerAt(info, 32),
      cpus: info.readUInt32LE(40),
      mhz: info.readUInt32LE(44),
      numaNodes: info.readUInt32LE(48),
      sockets: info.readUInt32LE(52),
      coresPerSocket: info.readUInt32LE(56),
      threadsPerCore: info.readUInt32LE(60),
    }
  },

  /** Returns the `<capabilities>` XML. */
  capabilities(conn: Pointer): string {
    return takeString(callNative('virConnectGetCapabilities', conn))
  },

  /** Returns the `<domainCapabilities>` XML; null selects the default. */
  domainCapabilities(
    conn: Pointer,
    emulator: string | null = null,
    arch: string | null = null,
    machine: string | null = null,
    virtType: string | null = null,
  ): string {
    return takeString(callNative('virConnectGetDomainCapabilities', conn, emulator, arch, machine, virtType, 0))
  },
}
