import {
  borrowString,
  callNative,
  lastError,
  type Pointer,
  pointerAt,
  read,
  slot,
  takeList,
  takeString,
  vir,
} from '../ffi.ts'
import { lend, withDomain } from './handles.ts'

export interface InterfaceAddresses {
  /** As the source names it: `vnet0` from leases, `eth0` from the agent. */
  name: string
  mac: string | null
  addresses: { address: string; prefix: number }[]
}

/** What is asked of the guest or of its QEMU. */
export const guestOps = {
  /** A guest agent command as JSON; answers with the agent's JSON. Waits `timeoutSeconds` for the guest. @throws LibvirtError AGENT_UNRESPONSIVE */
  domainAgentCommand(conn: Pointer, uuid: string, command: string, timeoutSeconds = 5): string {
    return withDomain(conn, uuid, (domain) =>
      takeString(callNative('virDomainQemuAgentCommand', domain, command, timeoutSeconds, 0)),
    )
  },

  /** A QMP command as JSON, or with VIR.DOMAIN_QEMU_MONITOR_COMMAND_HMP a line of the human monitor; answers with the reply. Taints the domain. */
  domainMonitorCommand(conn: Pointer, uuid: string, command: string, flags = 0): string {
    return withDomain(conn, uuid, (domain) => {
      const reply = slot()
      callNative('virDomainQemuMonitorCommand', domain, command, reply, flags)
      return takeString(pointerAt(reply))
    })
  },

  /** `source`: VIR.DOMAIN_INTERFACE_ADDRESSES_SRC_* */
  domainInterfaceAddresses(conn: Pointer, uuid: string, source: number): InterfaceAddresses[] {
    return withDomain(conn, uuid, (domain) => {
      const list = slot()
      const count = callNative('virDomainInterfaceAddresses', domain, list, source, 0)
      return takeList(pointerAt(list), count, readInterface, vir.virDomainInterfaceFree)
    })
  },

  /**
   * One exchange with the serial console: opens it, writes `input`, and collects what comes until `maxBytes` are there
   * or `waitMs` have passed. For probes; a session belongs on the serial socket. `device` null is the first console.
   * flags: VIR.DOMAIN_CONSOLE_*
   */
  domainConsole(
    conn: Pointer,
    uuid: string,
    device: string | null,
    input: string,
    maxBytes: number,
    waitMs: number,
    flags = 0,
  ): Buffer {
    const nonBlocking = 1
    return withDomain(conn, uuid, (domain) =>
      lend(callNative('virStreamNew', conn, nonBlocking), vir.virStreamFree, (stream) => {
        callNative('virDomainOpenConsole', domain, device, stream, flags)
        try {
          return exchange(conn, stream, Buffer.from(input), maxBytes, performance.now() + waitMs)
        } finally {
          vir.virStreamAbort(stream)
        }
      }),
    )
  },
}

/** A stream without an event loop moves only while some other call waits for its answer: so a cheap one is made between the tries. */
function exchange(conn: Pointer, stream: Pointer, input: Buffer, maxBytes: number, deadline: number): Buffer {
  const wouldBlock = -2
  const chunk = Buffer.alloc(Math.min(maxBytes, 65_536))
  const chunks: Buffer[] = []
  let unsent = input
  let size = 0
  while (size < maxBytes && performance.now() < deadline) {
    if (unsent.length > 0) {
      const sent = vir.virStreamSend(stream, unsent, unsent.length)
      if (sent !== wouldBlock) unsent = unsent.subarray(check(sent))
    }
    const got = vir.virStreamRecv(stream, chunk, Math.min(chunk.length, maxBytes - size))
    if (got === wouldBlock) {
      callNative('virConnectGetLibVersion', conn, slot())
      Atomics.wait(pause, 0, 0, 10)
    } else if (check(got) === 0) {
      break
    } else {
      chunks.push(Buffer.from(chunk.subarray(0, got)))
      size += got
    }
  }
  return Buffer.concat(chunks)
}

const pause = new Int32Array(new SharedArrayBuffer(4))

function check(result: number): number {
  if (result < 0) throw lastError('virDomainOpenConsole')
  return result
}

/** `struct _virDomainInterface`: name at 0, hwaddr 8, naddrs 16, addrs 24; `struct _virDomainInterfaceIPAddress`, 24 bytes: type 0, addr 8, prefix 16. */
function readInterface(address: Pointer): InterfaceAddresses {
  const struct = read(address, 32)
  const count = struct.readUInt32LE(16)
  const addresses = read(pointerAt(struct, 24), count * 24)
  return {
    name: borrowString(pointerAt(struct, 0)) ?? '',
    mac: borrowString(pointerAt(struct, 8)),
    addresses: Array.from({ length: count }, (_, i) => ({
      address: borrowString(pointerAt(addresses, i * 24 + 8)) ?? '',
      prefix: addresses.readUInt32LE(i * 24 + 16),
    })),
  }
}
