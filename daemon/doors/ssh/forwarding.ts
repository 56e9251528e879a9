import type { Logger } from 'pino'
import type { Client, ClientChannel, Connection, ServerChannel } from 'ssh2'
import { plainText } from '../../lib/text/plain-text.ts'
import type { AuthenticatedClient } from './authentication.ts'
import { hasRoom, refuseChannel } from './ssh2-patches.ts'
import type { VmAccess } from './vm-access.ts'

/** The reason given to a client that already has as many channels as it may have. */
export const tooManyChannels = 'this connection has too many channels'

/** What forwarding a client's connections needs. */
export interface ForwardingParts {
  readonly client: Connection
  readonly log: Logger
  readonly vms: VmAccess
  authenticated(): AuthenticatedClient
}

export type ForwardTarget = { destIP: string; destPort: number } | { socketPath: string }

/**
 * Forwards a connection of the client (`ssh -L`, `-J`): out of its VM or, for a client in the lobby, to a port of any
 * VM.
 */
export function forward(
  parts: ForwardingParts,
  accept: () => ServerChannel,
  reject: () => void,
  to: ForwardTarget,
): void {
  forwardTo(parts, accept, to).catch((error: Error) => {
    parts.log.debug({ err: error.message }, 'a connection could not be forwarded')
    refuseChannel(parts.client, reject, plainText(error.message).slice(0, 200))
  })
}

async function forwardTo(parts: ForwardingParts, accept: () => ServerChannel, to: ForwardTarget): Promise<void> {
  const { client, vms } = parts
  const { permits, login } = parts.authenticated()
  if (!hasRoom(client)) throw new Error(tooManyChannels)
  if (!permits.forwarding) throw new Error('its certificate does not permit it')
  if (login?.to !== 'lobby') {
    const guest = await vms.enter()
    const inside = await new Promise<ClientChannel>((resolve, reject) => {
      const opened = (error: Error | undefined, channel: ClientChannel) => (error ? reject(error) : resolve(channel))
      if ('socketPath' in to) guest.openssh_forwardOutStreamLocal(to.socketPath, opened)
      else guest.forwardOut('127.0.0.1', 0, to.destIP, to.destPort, opened)
    })
    return vms.join(accept(), inside)
  }
  if ('socketPath' in to) throw new Error('the lobby has no sockets')
  // Accepted only once the VM has been reached: a channel that is open can't be refused with a reason.
  const socket = await vms.intoPort(to.destIP, to.destPort)
  vms.join(accept(), socket)
}

/**
 * Answers a global request of a client: to start or stop forwarding connections from within the VM to it (`ssh -R`).
 */
export function answerRequest(
  parts: ForwardingParts,
  name: string,
  info: { bindAddr: string; bindPort: number; socketPath: string },
  accept: ((port?: number) => void) | undefined,
  reject: (() => void) | undefined,
): void {
  const refuse = (error: Error) => {
    parts.log.debug({ err: error.message, name }, 'a request was refused')
    reject?.()
  }
  const { permits, login } = parts.authenticated()
  if (login?.to === 'lobby' || !permits.forwarding) {
    refuse(new Error('forwarding is not available'))
    return
  }
  const done = (error?: Error | null, port?: number) => (error ? refuse(error) : accept?.(port))
  parts.vms.enter().then((guest) => {
    forwardBack(parts, guest)
    if (name === 'tcpip-forward') guest.forwardIn(info.bindAddr, info.bindPort, done)
    else if (name === 'cancel-tcpip-forward') guest.unforwardIn(info.bindAddr, info.bindPort, done)
    else if (name === 'streamlocal-forward@openssh.com') guest.openssh_forwardInStreamLocal(info.socketPath, done)
    else if (name === 'cancel-streamlocal-forward@openssh.com')
      guest.openssh_unforwardInStreamLocal(info.socketPath, done)
    else refuse(new Error('unknown request'))
  }, refuse)
}

/** Forwards connections from within the VM to the client. */
function forwardBack({ client, vms }: ForwardingParts, guest: Client): void {
  if (guest.listenerCount('tcp connection') > 0) return
  guest.on('tcp connection', ({ destIP, destPort, srcIP, srcPort }, accept, reject) => {
    if (!hasRoom(guest)) return reject?.()
    client.forwardOut(destIP, destPort, srcIP, srcPort, (error, channel) =>
      error ? reject?.() : vms.join(channel, accept() as ClientChannel),
    )
  })
  guest.on('unix connection', ({ socketPath }, accept, reject) => {
    if (!hasRoom(guest)) return reject?.()
    client.openssh_forwardOutStreamLocal(socketPath, (error, channel) =>
      error ? reject?.() : vms.join(channel as ServerChannel, accept() as ClientChannel),
    )
  })
}
