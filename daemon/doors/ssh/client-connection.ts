import type { Socket } from 'node:net'
import type { Connection } from 'ssh2'
import type { FailureLimiter } from '../../lib/failure-limiter.ts'
import { plainAddress } from '../../lib/text/addresses.ts'
import type { Companions } from './auth-failure.ts'
import { type AuthenticatedClient, Authentication } from './authentication.ts'
import { Refusal } from './croftd.ts'
import { answerRequest, type ForwardingParts, forward, tooManyChannels } from './forwarding.ts'
import type { ConnectingClient } from './messages.ts'
import { type SessionParts, serveSession } from './sessions.ts'
import { guard, hasRoom, refuseChannel, showBanner, socketOf } from './ssh2-patches.ts'
import { VmAccess, type VmAccessParts } from './vm-access.ts'

/** What a connection needs from the server that accepted it. */
export interface Surroundings extends VmAccessParts, Pick<SessionParts, 'historyOf'> {
  readonly tries: FailureLimiter
  readonly companions: Companions
  /** Called when a connection's client has been admitted, and when it has disconnected. */
  arrived(connection: ClientConnection): void
  left(connection: ClientConnection): void
}

/**
 * One client's connection, from the first packet to the last. Each concern has a file of its own: authentication
 * (authentication.ts), connections to VMs (vm-access.ts), sessions (sessions.ts) and forwarding (forwarding.ts).
 */
export class ClientConnection {
  readonly #client: Connection
  readonly #authentication: Authentication
  readonly #vms: VmAccess

  constructor(gateway: Surroundings, client: Connection, address: string) {
    const { log } = gateway
    this.#client = client
    this.#authentication = new Authentication(client, gateway, () => ({
      address,
      reached: plainAddress(this.socket.localAddress ?? ''),
    }))
    const authenticated = (): AuthenticatedClient => this.#authentication.authenticated!
    this.#vms = new VmAccess(
      client,
      gateway,
      () => authenticated().who,
      () => authenticated().login,
    )
    const parts: SessionParts & ForwardingParts = {
      client,
      log,
      croftd: gateway.croftd,
      vms: this.#vms,
      authenticated,
      historyOf: (who) => gateway.historyOf(who),
    }

    guard(client)
    client.on('error', (err: Error) => log.debug({ address, err: err.message }, 'a connection failed'))
    client.on('authentication', (asked) => {
      this.#authentication.attempt(asked).catch((err) => {
        log.error({ err }, 'could not authenticate a client')
        if (err instanceof Refusal) showBanner(client, `${err.message}\n`)
        asked.reject(['publickey'])
        this.end()
      })
    })
    client.once('ready', () => {
      gateway.arrived(this)
      this.#authentication.succeeded()
      // If this fails, the session that needs the VM tells the client why.
      if (authenticated().login?.to === 'vm') this.#vms.enter().catch(() => {})
    })
    client.once('close', () => {
      gateway.left(this)
      this.#vms.close()
    })
    client.on('session', (accept, reject) => {
      if (hasRoom(client)) serveSession(parts, accept())
      else refuseChannel(client, reject, tooManyChannels)
    })
    client.on('tcpip', (accept, reject, { destIP, destPort }) => forward(parts, accept, reject, { destIP, destPort }))
    client.on('openssh.streamlocal', (accept, reject, { socketPath }) => forward(parts, accept, reject, { socketPath }))
    client.on('request', (accept, reject, name, info) => answerRequest(parts, name, info as never, accept, reject))
  }

  get socket(): Socket {
    return socketOf(this.#client)
  }

  /** Undefined until the client has been authenticated. */
  get who(): ConnectingClient | undefined {
    return this.#authentication.authenticated?.who
  }

  end(): void {
    this.#client.end()
  }

  /** See `VmAccess`. */
  get within(): string[] {
    return this.#vms.within
  }

  ended(vm: string): void {
    this.#vms.ended(vm)
  }

  asleep(vm: string): void {
    this.#vms.asleep(vm)
  }
}
