import { makeId } from '../../core/vm/identity.ts'
import { digestOf, newSecret } from '../../lib/secret.ts'
import { filterRecord, indexBy, type Store, type Token } from '../../store/index.ts'

/** Every token begins so: it can be told from what an application of a VM's takes in the same header. */
const prefix = 'croft_'

const byDigest = indexBy((token: Token) => token.digest)

/** Tokens for programs. The store knows each by its digest, so that reading the store lets nobody in. */
export class Tokens {
  readonly #store: Store
  readonly #clock: () => Date

  constructor(store: Store, clock: () => Date = () => new Date()) {
    this.#store = store
    this.#clock = clock
  }

  /** @returns the token and its secret, which is kept nowhere @param seconds null: it does not end by itself */
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

  /** The token of a digest, while it works. */
  find(digest: string): Token | undefined {
    const token = byDigest(this.#store.state.tokens, digest)
    return token && this.#isAlive(token) ? token : undefined
  }

  /** Those that work now. */
  all(): Token[] {
    return Object.values(this.#store.state.tokens).filter((token) => this.#isAlive(token))
  }

  #isAlive({ expiresAt, vm }: Token): boolean {
    const { vms } = this.#store.state
    return (expiresAt === null || expiresAt > this.#clock().toISOString()) && (vm === null || vm in vms)
  }
}

/**
 * What an Authorization header has of ours: a bearer token, or a password of HTTP's basic kind (RFC 7617) whatever the
 * user name. An application's own credentials are not ours. Pure.
 */
export function secretIn(authorization = ''): string | undefined {
  const [scheme = '', given = ''] = authorization.split(' ')
  if (scheme.toLowerCase() === 'bearer') return given.startsWith(prefix) ? given : undefined
  if (scheme.toLowerCase() !== 'basic') return undefined
  const pair = Buffer.from(given, 'base64').toString('utf8')
  const password = pair.slice(pair.indexOf(':') + 1)
  return password.startsWith(prefix) ? password : undefined
}

/** The token that a request comes with, if it is one that works. */
export function tokenOf({ tokens }: { tokens: Tokens }, authorization: string | undefined): Token | undefined {
  const secret = secretIn(authorization)
  return secret === undefined ? undefined : tokens.find(digestOf(secret))
}
