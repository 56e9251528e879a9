import { callNative, type Pointer, pointerAt, slot, takeString } from '../ffi.ts'
import { withDomain } from './handles.ts'

/** Operations that send commands to the guest agent or to QEMU. */
export const guestOps = {
  /**
   * Sends a guest agent command as JSON, and returns the agent's JSON. Waits up to `timeoutSeconds` for the guest.
   * @throws LibvirtError AGENT_UNRESPONSIVE
   */
  domainAgentCommand(conn: Pointer, uuid: string, command: string, timeoutSeconds = 5): string {
    return withDomain(conn, uuid, (domain) =>
      takeString(callNative('virDomainQemuAgentCommand', domain, command, timeoutSeconds, 0)),
    )
  },

  /**
   * Sets for how many seconds libvirt waits for the guest agent when it asks something itself, such as to freeze file
   * systems. By default it waits without end.
   */
  domainSetAgentTimeout(conn: Pointer, uuid: string, seconds: number): void {
    withDomain(conn, uuid, (domain) => callNative('virDomainAgentSetResponseTimeout', domain, seconds, 0))
  },

  /**
   * Sends a QMP command as JSON, or with VIR.DOMAIN_QEMU_MONITOR_COMMAND_HMP a line for the human monitor. Returns the
   * reply. Taints the domain.
   */
  domainMonitorCommand(conn: Pointer, uuid: string, command: string, flags = 0): string {
    return withDomain(conn, uuid, (domain) => {
      const reply = slot()
      callNative('virDomainQemuMonitorCommand', domain, command, reply, flags)
      return takeString(pointerAt(reply))
    })
  },
}
