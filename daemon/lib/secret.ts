import { createHash, randomBytes } from 'node:crypto'

const base32 = 'abcdefghijklmnopqrstuvwxyz234567'

/** Returns random lowercase base32 characters (RFC 4648 alphabet), of 5 bits each. */
export const randomBase32 = (count: number): string =>
  Array.from(randomBytes(count), (byte) => base32[byte & 31]).join('')

/** Makes a secret of 256 random bits. It can't be guessed, so its digest needs no salt and no key stretching. */
export const newSecret = (): string => randomBytes(32).toString('base64url')

/** The SHA-256 of a secret, in hexadecimal. */
export const digestOf = (secret: string): string => createHash('sha256').update(secret).digest('hex')

/** Makes a secret that people copy by hand: 200 random bits as eight groups of five lowercase base32 characters. */
export const newRecoveryKey = (): string => randomBase32(40).match(/.{5}/g)!.join('-')
