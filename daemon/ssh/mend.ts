import { createRequire } from 'node:module'
import type { Socket } from 'node:net'
import type { Connection, PublicKeyAuthContext, ServerChannel } from 'ssh2'
import { sshString } from './key.ts'

/**
 * What ssh2 1.17.0 lacks or does wrong, in one place. All of it is of its inside, which is why package.json names one version.
 */

interface Half {
  outgoing: { state: string; window: number }
  _waitWindow: boolean
  _chunk: Buffer | undefined
  _chunkcb: unknown
  _chunkErr: Buffer | undefined
  _chunkcbErr: unknown
  stderr: { _write(data: Buffer, encoding: unknown, done: unknown): void }
}

type Write = (this: Half, data: Buffer, encoding: unknown, done: (error?: Error) => void) => void

/**
 * A channel that had to wait for its window keeps what it then wrote, and writes it once more when standard error has had
 * to wait; standard error that waits beside standard output is forgotten. Here what was kept is dropped when it is
 * written, and what waits beside it comes next.
 */
export function mendChannels(): void {
  const require = createRequire(import.meta.url)
  const { Channel } = require('ssh2/lib/Channel.js') as { Channel: { prototype: { _write: Write } } }
  const { prototype } = Channel
  const write = prototype._write
  prototype._write = function (data, encoding, done) {
    this._chunk = undefined
    this._chunkcb = undefined
    write.call(this, data, encoding, done)
    const other = this._chunkErr
    if (this._chunk !== undefined || other === undefined) return
    const otherDone = this._chunkcbErr
    this._chunkErr = undefined
    this._chunkcbErr = undefined
    this.stderr._write(other, null, otherDone)
  }
}

interface Inside {
  _sock: Socket
  _chanMgr: { add(opened: Opened): number }
  _protocol: {
    _banner?: string
    openssh_authAgent(channel: number, window: number, packet: number): void
  }
}
type Opened = ((error: Error | undefined, channel: ServerChannel) => void) & { type?: string }

const window = 2 * 1024 * 1024
const packet = 32 * 1024

/** Opens a channel to the client's SSH agent (`auth-agent@openssh.com`). */
export function openAgent(client: Connection): Promise<ServerChannel> {
  const { _chanMgr, _protocol } = client as unknown as Inside
  return new Promise((resolve, reject) => {
    const opened: Opened = (error, channel) => (error ? reject(error) : resolve(channel))
    opened.type = 'auth-agent@openssh.com'
    const id = _chanMgr.add(opened)
    if (id < 0) reject(new Error('there are too many channels'))
    else _protocol.openssh_authAgent(id, window, packet)
  })
}

/** The connection that a client came by. */
export const socketOf = (client: Connection): Socket => (client as unknown as Inside)._sock

/** Has a client shown a text before it says who it is. Only before that. */
export function setBanner(client: Connection, text: string): void {
  const { _protocol } = client as unknown as Inside
  _protocol._banner = `${text.replaceAll('\n', '\r\n')}\r\n`
}

/**
 * A signature as it came on the wire: ssh2 hands it over without the name of its algorithm, and ECDSA's as DER. One of a
 * certificate's it leaves alone.
 */
export function wireSignature({ key, hashAlgo, signature = Buffer.alloc(0) }: PublicKeyAuthContext): Buffer {
  const { algo } = key
  if (algo.includes('-cert-v01@')) return signature
  const name = sshString(Buffer.from(hashAlgo ? `rsa-sha2-${hashAlgo.slice(3)}` : algo))
  if (algo.startsWith('ecdsa-'))
    return Buffer.concat([name, sshString(Buffer.concat(integersOf(signature).map(sshString)))])
  if (!algo.startsWith('sk-')) return Buffer.concat([name, sshString(signature)])
  // Of a security key's, flags (1 byte) and counter (4) come behind.
  const end = Math.max(0, signature.length - 5)
  return Buffer.concat([name, sshString(signature.subarray(0, end)), signature.subarray(end)])
}

/** The two integers of `SEQUENCE { INTEGER, INTEGER }` in DER; none of what is something else. */
function integersOf(der: Buffer): Buffer[] {
  const first = der[1] === 0x81 ? 3 : 2
  const middle = first + 2 + (der[first + 1] ?? 0)
  const at = (from: number) => der.subarray(from + 2, from + 2 + (der[from + 1] ?? 0))
  return der[0] === 0x30 && der[first] === 2 && der[middle] === 2 ? [at(first), at(middle)] : []
}

/** Says that nothing more comes by a channel, which goes on taking: `end()` would close it. */
export function sayEnd(channel: ServerChannel): void {
  ;(channel as unknown as { eof(): void }).eof()
}
