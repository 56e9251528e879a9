import { createHash, randomBytes } from 'node:crypto'

/** Makes a secret of 256 random bits. It can't be guessed, so its digest needs no salt and no key stretching. */
export const newSecret = (): string => randomBytes(32).toString('base64url')

/** The SHA-256 of a secret, in hexadecimal. */
export const digestOf = (secret: string): string => createHash('sha256').update(secret).digest('hex')

/** Makes a secret that people copy by hand: 200 random bits as eight groups of five lowercase base32 characters. */
export function newRecoveryKey(): string {
  const letters = Array.from(randomBytes(40), (byte) => 'abcdefghijklmnopqrstuvwxyz234567'[byte & 31]).join('')
  return letters.match(/.{5}/g)!.join('-')
}
