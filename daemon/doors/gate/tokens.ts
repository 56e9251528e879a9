import { makeId } from '../../core/vm/identity.ts'
import { digestOf, newSecret } from '../../lib/secret.ts'
import { filterRecord, indexBy, type Store, type Token } from '../../store/index.ts'

/** Prefix of every token: tells it apart from the credentials of an application in a VM in the same header. */
const prefix = 'croft_'

const byDigest = indexBy((token: Token) => token.digest)

/** Tokens for programs. The store keeps only their digests, so that reading the store gives nobody access. */
export class Tokens {
  readonly #store: Store
  readonly #clock: () => Date

  constructor(store: Store, clock: () => Date = () => new Date()) {
    this.#store = store
    this.#clock = clock
  }

  /** @param seconds lifetime; null for no expiry @returns the token, and its secret, which is not stored */
  async make(
    given: Pick<Token, 'name' | 'vm' | 'commands'>,
    seconds: number | null,
  ): Promise<{ token: Token; secret: string }> {
    const secret = `${prefix}${newSecret()}`
    const now = this.#clock()
    const token: Token = {
      ...given,
      id: makeId('tok'),
      digest: digestOf(secret),
      createdAt: now.toISOString(),
      expiresAt: seconds === null ? null : new Date(now.getTime() + seconds * 1000).toISOString(),
    }
    await this.#store.update((state) => {
      const alive = filterRecord(state.tokens, (each) => this.#isAlive(each))
      return { ...state, tokens: { ...alive, [token.id]: token } }
    })
    return { token, secret }
  }

  /** Finds a valid token by its digest. */
  find(digest: string): Token | undefined {
    const token = byDigest(this.#store.state.tokens, digest)
    return token && this.#isAlive(token) ? token : undefined
  }

  /** Returns the valid tokens. */
  all(): Token[] {
    return Object.values(this.#store.state.tokens).filter((token) => this.#isAlive(token))
  }

  #isAlive({ expiresAt, vm }: Token): boolean {
    const { vms } = this.#store.state
    return (expiresAt === null || expiresAt > this.#clock().toISOString()) && (vm === null || vm in vms)
  }
}

/**
 * Returns the Croft token in an Authorization header: a bearer token, or the password of basic authentication (RFC
 * 7617) with any user name. An application's own credentials are ignored. Pure.
 */
export function secretIn(authorization = ''): string | undefined {
  const [scheme = '', given = ''] = authorization.split(' ')
  if (scheme.toLowerCase() === 'bearer') return given.startsWith(prefix) ? given : undefined
  if (scheme.toLowerCase() !== 'basic') return undefined
  const pair = Buffer.from(given, 'base64').toString('utf8')
  const password = pair.slice(pair.indexOf(':') + 1)
  return password.startsWith(prefix) ? password : undefined
}

/** Finds the valid token of a request. */
export function tokenOf({ tokens }: { tokens: Tokens }, authorization: string | undefined): Token | undefined {
  const secret = secretIn(authorization)
  return secret === undefined ? undefined : tokens.find(digestOf(secret))
}
