import { hash } from 'node:crypto'
import type { AuthContext, Connection } from 'ssh2'
import { type Login, parseLogin } from '../../core/access/login.ts'
import { isWithin } from '../../lib/addresses.ts'
import type { FailureLimiter } from '../../lib/failure-limiter.ts'
import { type Companions, failureMessage, type RefusedKey } from './auth-failure.ts'
import type { Croftd } from './croftd.ts'
import { BadKey, certificateFault, readSshKey, type SshKey, verifyWire } from './key.ts'
import type { ConnectingClient } from './messages.ts'
import { showBanner, wireSignature } from './ssh2-patches.ts'

const mostKeys = 20
/** The longest that a key may be, with the certificate around it, in bytes. */
const longestKey = 32 * 1024
/** Of how many keys that are not admitted a client is told. */
const mostTold = 3
const methods = ['publickey', 'keyboard-interactive'] as const

/** What a client may do besides running something: all of it, unless its certificate says less. */
export interface Permits {
  pty: boolean
  forwarding: boolean
  agent: boolean
}
const everything: Permits = { pty: true, forwarding: true, agent: true }

/** A client that has been authenticated. */
export interface Authenticated {
  who: ConnectingClient
  permits: Permits
  /** Where it wants to go; undefined for a name that leads nowhere. */
  login: Login | undefined
}

/** Where a client connects from, and the address of the box that it has reached. */
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
  #authenticated: Authenticated | undefined

  /** @param from is asked once the client is connected */
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

  /** Undefined until the client has been let in. */
  get authenticated(): Authenticated | undefined {
    return this.#authenticated
  }

  /** The client has been let in: its owner need not be told again of the keys that it tried before. */
  succeeded(): void {
    this.#companions.add(this.#digests)
  }

  /** Answers one attempt. @throws Refusal when the daemon can't be asked */
  async attempt(asked: AuthContext): Promise<void> {
    if (asked.method === 'publickey') return this.#tryKey(asked)
    if (asked.method !== 'keyboard-interactive') return asked.reject([...methods])
    const { address } = this.#from()
    // A client that gets here has no more keys.
    this.#failures.fail(address)
    // After an empty list OpenSSH would begin again with all methods.
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

  /** Tells a client immediately that a key is not admitted: with `BatchMode` it leaves after its last one. */
  #tell(refused: RefusedKey, digest: string): void {
    this.#refused.push(refused)
    this.#digests.push(digest)
    if (this.#told === mostTold || this.#companions.has(digest)) return
    this.#told += 1
    showBanner(this.#client, failureMessage([refused]))
  }

  /** @returns the key, if it is admitted at all, and what it may do */
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
    if (fault !== undefined) return { fault: `of its certificate: ${fault}` }
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
