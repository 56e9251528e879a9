import { hash } from 'node:crypto'
import type { AuthContext, Connection } from 'ssh2'
import { type Login, parseLogin } from '../../core/access/login.ts'
import type { FailureLimiter } from '../../lib/failure-limiter.ts'
import { isWithin } from '../../lib/text/addresses.ts'
import { type Companions, failureMessage, type RefusedKey } from './auth-failure.ts'
import type { Croftd } from './croftd.ts'
import { BadKey, certificateFault, readSshKey, type SshKey, verifyWire } from './key.ts'
import type { ConnectingClient } from './messages.ts'
import { showBanner, wireSignature } from './ssh2-patches.ts'

const mostKeys = 20
/** The maximum size of a key in bytes, including its certificate. */
const longestKey = 32 * 1024
/** The most refused keys that a client is told about. */
const mostTold = 3
const methods = ['publickey', 'keyboard-interactive'] as const

/** What a client may do besides running commands: everything, unless its certificate permits less. */
export interface Permits {
  pty: boolean
  forwarding: boolean
  agent: boolean
}
const everything: Permits = { pty: true, forwarding: true, agent: true }

/** A client that has been authenticated. */
export interface AuthenticatedClient {
  who: ConnectingClient
  permits: Permits
  /** The VM or the lobby that the client's user name stands for; undefined for a name that stands for neither. */
  login: Login | undefined
}

/** The address that a client connects from, and the address of the box that it connected to. */
export type Endpoints = Pick<ConnectingClient, 'address' | 'reached'>

/** Authenticates one client, which may try several keys. */
export class Authentication {
  readonly #client: Connection
  readonly #croftd: Croftd
  readonly #failures: FailureLimiter
  readonly #companions: Companions
  readonly #from: () => Endpoints
  readonly #refused: RefusedKey[] = []
  readonly #digests: string[] = []
  #told = 0
  #keysTried = 0
  #authenticated: AuthenticatedClient | undefined

  /** @param from called once the client is connected */
  constructor(
    client: Connection,
    { croftd, tries, companions }: { croftd: Croftd; tries: FailureLimiter; companions: Companions },
    from: () => Endpoints,
  ) {
    this.#client = client
    this.#croftd = croftd
    this.#failures = tries
    this.#companions = companions
    this.#from = from
  }

  /** Undefined until the client has been authenticated. */
  get authenticated(): AuthenticatedClient | undefined {
    return this.#authenticated
  }

  /** Called when the client has been admitted. It won't be told again of the refused keys that it tried first. */
  succeeded(): void {
    this.#companions.add(this.#digests)
  }

  /** Answers one attempt. @throws Refusal when the daemon can't be asked */
  async attempt(asked: AuthContext): Promise<void> {
    if (asked.method === 'publickey') return this.#tryKey(asked)
    if (asked.method !== 'keyboard-interactive') return asked.reject([...methods])
    const { address } = this.#from()
    // A client tries this method only when it has no keys left.
    this.#failures.fail(address)
    // After an empty list of methods, OpenSSH would start over with all of them.
    const refuse = () => asked.reject(['publickey'])
    if (this.#told > 0) return refuse()
    asked.prompt([], '', failureMessage(this.#refused), refuse)
  }

  async #tryKey(asked: Extract<AuthContext, { method: 'publickey' }>): Promise<void> {
    const { address } = this.#from()
    this.#keysTried += 1
    const found = await this.#look(asked.key.data, asked.username)
    if ('fault' in found) {
      const mayTryOn = this.#keysTried <= mostKeys && this.#failures.wait(address) === 0
      if (mayTryOn) this.#tell(found, hash('sha256', asked.key.data))
      asked.reject([...methods])
      if (!mayTryOn) this.#client.end()
      return
    }
    if (!asked.signature) return asked.accept()
    if (!asked.blob || !verifyWire(found.key, asked.blob, wireSignature(asked))) {
      this.#failures.fail(address)
      return asked.reject([...methods])
    }
    this.#authenticated = { who: found.who, permits: found.permits, login: parseLogin(asked.username) }
    return asked.accept()
  }

  /**
   * Tells a client immediately that a key is not admitted. A client in `BatchMode` disconnects after its last key, so
   * there may be no later moment.
   */
  #tell(refused: RefusedKey, digest: string): void {
    this.#refused.push(refused)
    this.#digests.push(digest)
    if (this.#told === mostTold || this.#companions.has(digest)) return
    this.#told += 1
    showBanner(this.#client, failureMessage([refused]))
  }

  /** @returns the key and what it permits, or the reason why it is refused */
  async #look(
    blob: Buffer,
    name: string,
  ): Promise<{ key: SshKey; who: ConnectingClient; permits: Permits } | RefusedKey> {
    if (blob.length > longestKey) return { fault: 'it is too long' }
    let key: SshKey
    try {
      key = readSshKey(blob)
    } catch (error) {
      if (!(error instanceof BadKey)) throw error
      return { fault: error.message }
    }
    const { certificate } = key
    const from = this.#from()
    if (!certificate) {
      const who = { fingerprint: key.fingerprint, as: '', ...from }
      if (await this.#croftd.knows(key.fingerprint, false)) return { key, who, permits: everything }
      return { key, fault: undefined }
    }
    const { authority, id, permits } = certificate
    if (!(await this.#croftd.knows(authority.fingerprint, true))) {
      return { fault: `its certificate is from a CA that Croft does not trust (${authority.fingerprint})` }
    }
    const fault = certificateFault(certificate, [name, 'croft'], from.address, new Date(), isWithin)
    if (fault !== undefined) return { fault: `its certificate can't be used: ${fault}` }
    return {
      key,
      who: { fingerprint: authority.fingerprint, as: id.slice(0, 256), ...from },
      permits: {
        pty: permits.has('permit-pty'),
        forwarding: permits.has('permit-port-forwarding'),
        agent: permits.has('permit-agent-forwarding'),
      },
    }
  }
}
