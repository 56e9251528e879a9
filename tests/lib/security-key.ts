import { createHash, createPrivateKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'

export const securityKeyTypes = ['sk-ssh-ed25519@openssh.com', 'sk-ecdsa-sha2-nistp256@openssh.com'] as const
export type SecurityKeyType = (typeof securityKeyTypes)[number]

const application = 'ssh:'
/** Messages of an SSH agent: draft-ietf-sshm-ssh-agent. */
const failure = 5
const requestIdentities = 11
const identities = 12
const signRequest = 13
const signature = 14

const uint32 = (value: number) => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}
const string = (value: string | Buffer) => Buffer.concat([uint32(Buffer.byteLength(value)), Buffer.from(value)])
/** Encodes a positive number as SSH does: no leading zeros, except one where it would look negative. */
function mpint(value: Buffer): Buffer {
  const bare = value.subarray(value.findIndex((byte) => byte !== 0))
  return string(bare[0]! & 0x80 ? Buffer.concat([Buffer.of(0), bare]) : bare)
}
const hash = (value: string | Buffer) => createHash('sha256').update(value).digest()

/**
 * An agent that holds a FIDO key as a hardware token does: it signs as OpenSSH's PROTOCOL.u2f says, with a counter and
 * whether the token was touched.
 */
export class SecurityKeyAgent implements AsyncDisposable {
  readonly path: string
  readonly type: SecurityKeyType
  touched = true
  readonly #key: KeyObject
  readonly #blob: Buffer
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #count = 0

  static async start(path: string, type: SecurityKeyType): Promise<SecurityKeyAgent> {
    const agent = new SecurityKeyAgent(path, type)
    await new Promise<void>((resolve) => agent.#server.listen(path, resolve))
    return agent
  }

  private constructor(path: string, type: SecurityKeyType) {
    this.path = path
    this.type = type
    const { privateKey, publicKey } =
      type === 'sk-ssh-ed25519@openssh.com'
        ? generateKeyPairSync('ed25519')
        : generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
    this.#key = createPrivateKey(privateKey.export({ type: 'pkcs8', format: 'pem' }))
    const { x, y } = publicKey.export({ format: 'jwk' })
    const part = (value: string | undefined) => Buffer.from(value!, 'base64url')
    const point = y ? [string('nistp256'), string(Buffer.concat([Buffer.of(4), part(x), part(y)]))] : [string(part(x))]
    this.#blob = Buffer.concat([string(type), ...point, string(application)])
    this.#server = createServer((socket) => this.#serve(socket))
  }

  get publicKey(): string {
    return `${this.type} ${this.#blob.toString('base64')} token`
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
    let pending = Buffer.alloc(0)
    socket.on('data', (chunk: Buffer) => {
      pending = Buffer.concat([pending, chunk])
      while (pending.length >= 4 && pending.length >= 4 + pending.readUInt32BE()) {
        const length = pending.readUInt32BE()
        socket.write(string(this.#answer(pending.subarray(4, 4 + length))))
        pending = pending.subarray(4 + length)
      }
    })
  }

  #answer(message: Buffer): Buffer {
    if (message[0] === requestIdentities)
      return Buffer.concat([Buffer.of(identities), uint32(1), string(this.#blob), string('token')])
    if (message[0] !== signRequest) return Buffer.of(failure)
    const blobLength = message.readUInt32BE(1)
    const at = 5 + blobLength
    const data = message.subarray(at + 4, at + 4 + message.readUInt32BE(at))
    return Buffer.concat([Buffer.of(signature), string(this.#sign(data))])
  }

  #sign(data: Buffer): Buffer {
    this.#count += 1
    const tail = Buffer.concat([Buffer.of(this.touched ? 1 : 0), uint32(this.#count)])
    const signed = Buffer.concat([hash(application), tail, hash(data)])
    const bare =
      this.type === 'sk-ssh-ed25519@openssh.com'
        ? sign(null, signed, this.#key)
        : ecdsa(sign('sha256', signed, { key: this.#key, dsaEncoding: 'ieee-p1363' }))
    return Buffer.concat([string(this.type), string(bare), tail])
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
    await rm(this.path, { force: true })
  }
}

const ecdsa = (both: Buffer): Buffer => Buffer.concat([mpint(both.subarray(0, 32)), mpint(both.subarray(32))])
