import { callNative, type Pointer, pointerAt, slot, takeString } from '../ffi.ts'
import { withDomain } from './handles.ts'

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
}
