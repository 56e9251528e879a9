import type { SshKey } from './key.ts'

/** Keys that a message has room for. */
const shown = 3

/** The public key's line, as an authorized_keys file has it. */
export const lineOf = (key: Pick<SshKey, 'type' | 'blob'>): string => `${key.type} ${key.blob.toString('base64')}`

/**
 * What somebody is told of whose keys none may enter: which they were, and what lets one in. Pure.
 * @param faults why what he came with could not even be asked about, as sentences' ends
 */
export function tried(keys: readonly SshKey[], faults: readonly string[]): string {
  const lines = keys.slice(0, shown).flatMap((key) => [`  ${key.fingerprint} (${key.type})`])
  const [first] = keys
  const said = [
    ...(first
      ? [keys.length === 1 ? 'This key may not enter here:' : 'None of these keys may enter here:', ...lines]
      : ['You came with no key that could enter here.']),
    ...faults.slice(0, shown).map((fault) => `  One was refused: ${fault}.`),
    ...(first
      ? ['On the box, this lets it in:', `  croft key add - <<< '${lineOf(first)}'`]
      : ['Make one, ssh-keygen -t ed25519, and have it let in on the box: croft key add']),
  ]
  return `${said.join('\n')}\n`
}
