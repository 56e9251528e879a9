import { createHash, createPublicKey, type KeyObject, verify as verifyBytes } from 'node:crypto'

/** A public key that a client offers, as read from SSH's own formats. */
export interface SshKey {
  /** Such as `ssh-ed25519`. For a certificate, the type of the key that it certifies. */
  type: string
  /** `SHA256:…`, as ssh-keygen prints it. For a certificate, the fingerprint of the key that it certifies. */
  fingerprint: string
  key: KeyObject
  /** The key in its wire format. */
  blob: Buffer
  /** The application that a security key was made for, usually `ssh:`; undefined for other keys. */
  application: string | undefined
  certificate: Certificate | undefined
}

/** What a CA certifies about a key (PROTOCOL.certkeys of OpenSSH). */
export interface Certificate {
  id: string
  principals: string[]
  /** When it begins and ceases to be valid, in seconds since 1970. */
  after: bigint
  before: bigint
  /** The critical options, by name: restrictions that a server must enforce. */
  critical: Map<string, Buffer>
  /** The names of the extensions, such as `permit-pty`. */
  permits: Set<string>
  /** The CA's key. */
  authority: SshKey
}

/** A key or certificate that is malformed, too weak or unsupported. The message is the end of a sentence. */
export class BadKey extends Error {}

/** Reads the encoding of RFC 4251, section 5. */
class Reader {
  readonly #bytes: Buffer
  at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get done(): boolean {
    return this.at === this.#bytes.length
  }

  #take(length: number): Buffer {
    if (this.at + length > this.#bytes.length) throw new BadKey('it is truncated')
    this.at += length
    return this.#bytes.subarray(this.at - length, this.at)
  }

  byte = (): number => this.#take(1)[0]!
  number = (): number => this.#take(4).readUInt32BE()
  long = (): bigint => this.#take(8).readBigUInt64BE()
  string = (): Buffer => this.#take(this.number())
  text = (): string => this.string().toString('utf8')
  /** Returns the bytes from `start` up to the current position. */
  since = (start: number): Buffer => this.#bytes.subarray(start, this.at)
}

const all = (bytes: Buffer): Buffer[] => {
  const reader = new Reader(bytes)
  const found: Buffer[] = []
  while (!reader.done) found.push(reader.string())
  return found
}

const pairs = (bytes: Buffer): Map<string, Buffer> => {
  const reader = new Reader(bytes)
  const found = new Map<string, Buffer>()
  while (!reader.done) found.set(reader.text(), reader.string())
  return found
}

const certified = /^(.+)-cert-v01@openssh\.com$/
const leastRsaBits = 2048
const forUsers = 1

export const fingerprintOf = (blob: Buffer): string =>
  `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`

/**
 * Reads a public key or a certificate in its wire format (RFC 4253, 8709, 5656; PROTOCOL.u2f and PROTOCOL.certkeys of
 * OpenSSH). Checks a certificate's signature, but not whether its CA is trusted.
 * @throws BadKey
 */
export function readSshKey(blob: Buffer, depth = 0): SshKey {
  const reader = new Reader(blob)
  const name = reader.text()
  const type = certified.exec(name)?.[1] ?? name
  const isCertificate = type !== name
  if (isCertificate) {
    if (depth > 0) throw new BadKey("a certificate can't sign another certificate")
    reader.string() // the nonce
  }
  const from = reader.at
  const { key, application } = readKeyOf(type, reader)
  const own = Buffer.concat([sshString(Buffer.from(type)), reader.since(from)])
  const plain: SshKey = { type, fingerprint: fingerprintOf(own), blob: own, key, application, certificate: undefined }
  if (!isCertificate) {
    if (!reader.done) throw new BadKey('it has data after the key')
    return plain
  }
  reader.long() // the serial number
  const kind = reader.number()
  if (kind !== forUsers) throw new BadKey('its certificate is for a host')
  const id = reader.text()
  const principals = all(reader.string()).map(String)
  const [after, before] = [reader.long(), reader.long()]
  const critical = pairs(reader.string())
  const permits = new Set(pairs(reader.string()).keys())
  reader.string() // reserved
  const authority = readSshKey(reader.string(), depth + 1)
  const signed = reader.since(0)
  const signature = reader.string()
  if (!reader.done) throw new BadKey('it has data after the certificate')
  if (!verifyWire(authority, signed, signature))
    throw new BadKey('its certificate is not signed by the CA that it names')
  return { ...plain, certificate: { id, principals, after, before, critical, permits, authority } }
}

function readKeyOf(type: string, reader: Reader): Pick<SshKey, 'key' | 'application'> {
  switch (type) {
    case 'ssh-ed25519':
      return { key: ed25519(reader.string()), application: undefined }
    case 'sk-ssh-ed25519@openssh.com':
      return { key: ed25519(reader.string()), application: reader.text() }
    case 'ecdsa-sha2-nistp256':
    case 'ecdsa-sha2-nistp384':
    case 'ecdsa-sha2-nistp521':
      return { key: ecdsa(reader.text(), reader.string(), type.slice('ecdsa-sha2-'.length)), application: undefined }
    case 'sk-ecdsa-sha2-nistp256@openssh.com':
      return { key: ecdsa(reader.text(), reader.string(), 'nistp256'), application: reader.text() }
    case 'ssh-rsa': {
      const [e, n] = [reader.string(), reader.string()]
      const key = made({ kty: 'RSA', e: unsigned(e).toString('base64url'), n: unsigned(n).toString('base64url') })
      const bits = key.asymmetricKeyDetails?.modulusLength ?? 0
      if (bits < leastRsaBits) throw new BadKey(`an RSA key of ${bits} bits is too short`)
      return { key, application: undefined }
    }
    default:
      throw new BadKey('Croft does not accept keys of this type')
  }
}

const ed25519 = (point: Buffer): KeyObject => made({ kty: 'OKP', crv: 'Ed25519', x: point.toString('base64url') })

const curves: Record<string, { crv: string; bytes: number }> = {
  nistp256: { crv: 'P-256', bytes: 32 },
  nistp384: { crv: 'P-384', bytes: 48 },
  nistp521: { crv: 'P-521', bytes: 66 },
}

function ecdsa(name: string, point: Buffer, expected: string): KeyObject {
  const curve = curves[expected]!
  if (name !== expected || point.length !== 1 + 2 * curve.bytes || point[0] !== 4) throw new BadKey('it is damaged')
  const [x, y] = [point.subarray(1, 1 + curve.bytes), point.subarray(1 + curve.bytes)]
  return made({ kty: 'EC', crv: curve.crv, x: x.toString('base64url'), y: y.toString('base64url') })
}

function made(jwk: Record<string, string>): KeyObject {
  try {
    return createPublicKey({ key: jwk, format: 'jwk' })
  } catch {
    throw new BadKey('it is damaged')
  }
}

const unsigned = (bytes: Buffer): Buffer => bytes.subarray(bytes.findIndex((byte) => byte !== 0))
/** Prefixes bytes with their length: `string` of RFC 4251, section 5. */
export const sshString = (bytes: Buffer): Buffer => {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(bytes.length)
  return Buffer.concat([length, bytes])
}

/** Returns the signature algorithms that are accepted for a key. For RSA, SHA-1 is not among them. */
function signatureNames({ type }: SshKey): readonly string[] {
  return type === 'ssh-rsa' ? ['rsa-sha2-512', 'rsa-sha2-256'] : [type]
}

/** Tells whether a signature in its wire format is the key's signature of the data. False for a damaged signature. */
export function verifyWire(key: SshKey, data: Buffer, signature: Buffer): boolean {
  try {
    const reader = new Reader(signature)
    const name = reader.text()
    if (!signatureNames(key).includes(name)) return false
    const body = reader.string()
    if (key.application === undefined) return reader.done && verifyBody(key, name, data, body)
    // A security key signs the digest of its application, the flags (bit 0: it was touched), its counter, and the
    // digest of the data.
    const [flags, counter] = [reader.byte(), reader.number()]
    const touched = (flags & 1) === 1
    const message = Buffer.alloc(32 + 1 + 4 + 32)
    createHash('sha256').update(key.application).digest().copy(message)
    message.writeUInt8(flags, 32)
    message.writeUInt32BE(counter, 33)
    createHash('sha256').update(data).digest().copy(message, 37)
    return touched && reader.done && verifyBody(key, name, message, body)
  } catch {
    return false
  }
}

const digests: Record<string, string> = {
  'rsa-sha2-256': 'sha256',
  'rsa-sha2-512': 'sha512',
  'ecdsa-sha2-nistp256': 'sha256',
  'ecdsa-sha2-nistp384': 'sha384',
  'ecdsa-sha2-nistp521': 'sha512',
  'sk-ecdsa-sha2-nistp256@openssh.com': 'sha256',
}

function verifyBody({ key }: SshKey, name: string, data: Buffer, body: Buffer): boolean {
  const digest = digests[name] ?? null // Ed25519 has a digest of its own
  if (!name.includes('ecdsa')) return verifyBytes(digest, data, key, body)
  const reader = new Reader(body)
  const bytes = (key.asymmetricKeyDetails?.namedCurve === 'prime256v1' && 32) || (name.endsWith('384') ? 48 : 66)
  const parts = [reader.string(), reader.string()].map((part) => {
    const value = unsigned(part)
    return Buffer.concat([Buffer.alloc(Math.max(0, bytes - value.length)), value])
  })
  return reader.done && verifyBytes(digest, data, { key, dsaEncoding: 'ieee-p1363' }, Buffer.concat(parts))
}

/**
 * Returns why a certificate does not admit a client now, worded as the end of a sentence; undefined when it does.
 * @param as the names that the client may log in as; the certificate must be for one of them
 * @param address the client's address
 */
export function certificateFault(
  { principals, after, before, critical }: Certificate,
  as: readonly string[],
  address: string,
  now: Date,
  isWithin: (address: string, list: string) => boolean,
): string | undefined {
  const seconds = BigInt(Math.floor(now.getTime() / 1000))
  if (seconds < after) return 'it is not valid yet'
  if (seconds >= before) return 'it has expired'
  if (!principals.some((name) => as.includes(name)))
    return principals.length ? `it is for ${principals.join(', ')}` : 'it names no principals'
  for (const [name, value] of critical) {
    if (name !== 'source-address') return `it requires ${name}, which Croft does not support`
    const list = new Reader(value).text()
    if (!isWithin(address, list)) return `it is not for ${address}`
  }
  return undefined
}
