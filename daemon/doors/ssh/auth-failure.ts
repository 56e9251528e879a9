import type { SshKey } from './key.ts'

/** A key that may not enter, or what is wrong with one, as a sentence's end. */
export type RefusedKey = { key: SshKey; fault: undefined } | { fault: string }

/** Keys that a message has room for. */
const shown = 3

/** The public key's line, as an authorized_keys file has it. */
export const publicKeyLine = (key: Pick<SshKey, 'type' | 'blob'>): string =>
  `${key.type} ${key.blob.toString('base64')}`

/** What somebody is told whose keys may not enter: which they were, and what lets one in. Pure. */
export function failureMessage(refused: readonly RefusedKey[]): string {
  const keys = refused.flatMap((each) => (each.fault === undefined ? [each.key] : []))
  const faults = refused.flatMap(({ fault }) => fault ?? [])
  const lines = keys.slice(0, shown).flatMap((key) => [`  ${key.fingerprint} (${key.type})`])
  const [first] = keys
  const said = [
    ...(first
      ? [keys.length === 1 ? 'This key may not enter here:' : 'None of these keys may enter here:', ...lines]
      : ['You came with no key that could enter here.']),
    ...faults.slice(0, shown).map((fault) => `  One was refused: ${fault}.`),
    ...(first
      ? ['On the box, this lets it in:', `  croft key add - <<< '${publicKeyLine(first)}'`]
      : ['Make one, ssh-keygen -t ed25519, and have it let in on the box: croft key add']),
  ]
  return `${said.join('\n')}\n`
}

const mostCompanions = 10_000

/** Digests of keys that may not enter and were offered before one that did: their owner need not hear of them each time. */
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
