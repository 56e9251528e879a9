import { createHash, randomBytes } from 'node:crypto'

/** Makes a secret of 256 random bits. It can't be guessed, so its digest needs no salt and no key stretching. */
export const newSecret = (): string => randomBytes(32).toString('base64url')
/** The SHA-256 of a secret, in hexadecimal. */
export const digestOf = (secret: string): string => createHash('sha256').update(secret).digest('hex')
