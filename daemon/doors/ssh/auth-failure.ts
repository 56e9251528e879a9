import type { SshKey } from './key.ts'

/** A key that is not admitted, or the fault of a key that can't be used, worded as the end of a sentence. */
export type RefusedKey = { key: SshKey; fault: undefined } | { fault: string }

/** The most keys, and the most faults, that one message lists. */
const shown = 3

/** Returns the public key as a line of an authorized_keys file. */
export const publicKeyLine = (key: Pick<SshKey, 'type' | 'blob'>): string =>
  `${key.type} ${key.blob.toString('base64')}`

/** Tells a client which of its keys were refused, and which command admits the first one. Pure. */
export function failureMessage(refused: readonly RefusedKey[]): string {
  const keys = refused.flatMap((each) => (each.fault === undefined ? [each.key] : []))
  const faults = refused.flatMap(({ fault }) => fault ?? [])
  const lines = keys.slice(0, shown).flatMap((key) => [`  ${key.fingerprint} (${key.type})`])
  const [first] = keys
  const said = [
    ...(first
      ? [keys.length === 1 ? 'This key is not admitted here:' : 'None of these keys is admitted here:', ...lines]
      : ['Your SSH client offered no key that Croft can admit.']),
    ...faults.slice(0, shown).map((fault) => `  A key was refused: ${fault}.`),
    ...(first
      ? ['To admit it, run this on the box:', `  croft key add - <<< '${publicKeyLine(first)}'`]
      : ['Create a key with ssh-keygen -t ed25519, and admit it on the box with croft key add.']),
  ]
  return `${said.join('\n')}\n`
}

const mostCompanions = 10_000

/**
 * Digests of refused keys that a client offered before an admitted one. The client is not told of these keys again when
 * it next connects.
 */
export class Companions {
  readonly #digests = new Set<string>()

  has = (digest: string): boolean => this.#digests.has(digest)

  add(digests: readonly string[]): void {
    for (const each of digests) this.#digests.add(each)
    for (const oldest of this.#digests) {
      if (this.#digests.size <= mostCompanions) break
      this.#digests.delete(oldest)
    }
  }
}
