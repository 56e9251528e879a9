/** What the box asks about SSH keys. */
export interface PublicKeys {
  /** Returns length and fingerprint of a public key; undefined when the text is not one. */
  inspect(publicKey: string): Promise<{ bits: number; fingerprint: string } | undefined>
  /** Returns the public keys that a GitHub user publishes. @throws CroftError `not-found`, `unavailable` */
  published(user: string): Promise<string>
}
