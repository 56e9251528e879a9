/** What the box asks about SSH keys. */
export interface PublicKeys {
  /** Length and fingerprint of a public key; undefined when it is none. */
  inspect(publicKey: string): Promise<{ bits: number; fingerprint: string } | undefined>
  /** The public keys that a user of GitHub shows to everybody. @throws CroftError `not-found`, `unavailable` */
  published(user: string): Promise<string>
}
