import { createHash, randomBytes } from 'node:crypto'

/** 256 random bits: nobody guesses one, so its digest needs no salt and no stretching. */
export const newSecret = (): string => randomBytes(32).toString('base64url')
/** SHA-256, in hexadecimal. */
export const digestOf = (secret: string): string => createHash('sha256').update(secret).digest('hex')
