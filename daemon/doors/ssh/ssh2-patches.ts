import type { EventEmitter } from 'node:events'
import { createRequire, registerHooks } from 'node:module'
import type { Socket } from 'node:net'
import type { Client, ClientChannel, Connection, PublicKeyAuthContext, ServerChannel } from 'ssh2'
import { sshString } from './key.ts'

/**
 * Everything that ssh2 1.17.0 lacks or does wrong, in one place. The patches depend on ssh2's internals, which is why
 * package.json pins one version.
 */

/**
 * Text replaced in ssh2's files when they are loaded: constants, and variables that can't be reached through an object.
 */
const corrections: Record<string, readonly [was: string, is: string][]> = {
  // A command must fit in one packet. The limit is OpenSSH's (PACKET_MAX_SIZE).
  'protocol/crypto.js': [['MAX_PACKET_SIZE = 35000', 'MAX_PACKET_SIZE = 256 * 1024']],
  'protocol/utils.js': [
    [
      'proto._queue.push(packet);',
      `if (proto._queue.push(packet) === 4096) proto._onError(new Error('it does not end its key exchange'));`,
    ],
  ],
  'Channel.js': [
    ['MAX_WINDOW = 2 * 1024 * 1024', `MAX_WINDOW = ${64 * 1024}`],
    ['WINDOW_THRESHOLD = MAX_WINDOW / 2', 'WINDOW_THRESHOLD = Infinity'],
    ['function windowAdjust(self) {', 'function windowAdjust(self) { return self.adjustWindow();'],
    ['module.exports = {', 'module.exports = { ClientStderr, ServerStderr,'],
  ],
  'client.js': [['channel.incoming.window === 0', 'data.length === 0']],
  'server.js': [
    ['channel.incoming.window === 0', 'data.length === 0'],
    [
      'unsentGlobalRequestsReplies.push(reply);',
      `if (unsentGlobalRequestsReplies.push(reply) > 1000) throw new Error('it asks for too much at once');`,
    ],
  ],
}

/** Receive windows in bytes: a channel's first, a channel's largest, and all of a connection's channels together. */
const firstWindow = 64 * 1024
const largestWindow = 2 * 1024 * 1024
const allWindows = 16 * 1024 * 1024
/** How many packets of a channel may be unread: each takes memory of its own, however small. */
const mostPackets = 8192
/** How many channels a connection may have. */
const mostChannels = 128
/** How much may be queued for the other end of a connection, in bytes. Channels stop writing long before that. */
const mostUnsent = 4 * 1024 * 1024
/** How much a channel writes at a time, in bytes. */
const largestPiece = 64 * 1024
/** How long the other end of a failed connection has to receive the reason, in ms. */
const reasonMs = 1000

interface Stream {
  readonly readableLength?: number
  readonly _readableState: { ended: boolean; buffer: Buffer[]; bufferIndex: number }
  push(data: Buffer | null): boolean
  read(bytes?: number): Buffer | null
  _write(data: Buffer, encoding: unknown, done: Done): void
}
type Done = (error?: Error | null) => void

interface Channel extends Stream {
  _client: Inside
  incoming: { state: string; window: number }
  outgoing: { id: number; state: string; window: number }
  _chunk: Buffer | undefined
  _chunkcb: unknown
  _chunkErr: Buffer | undefined
  _chunkcbErr: Done | undefined
  stderr: Stderr
  /** The size of its receive window. */
  size?: number
  adjustWindow(): void
}

interface Stderr extends Stream {
  _channel: Channel
}

const require = createRequire(import.meta.url)
/** ssh2 with all patches. */
export const ssh2 = load()
const { sendPacket } = require('ssh2/lib/protocol/utils.js') as {
  sendPacket(protocol: Inside['_protocol'], packet: Buffer): void
}

function load(): typeof import('ssh2') {
  const left = new Set(Object.values(corrections).flat())
  const hooks = registerHooks({
    load(url, context, next) {
      const loaded = next(url, context)
      const [, file = ''] = /\/ssh2\/lib\/(.*)$/.exec(url) ?? []
      const wanted = corrections[file]
      if (!wanted) return loaded
      let source = String(loaded.source)
      for (const each of wanted) {
        if (source.includes(each[0])) left.delete(each)
        source = source.replaceAll(each[0], each[1])
      }
      return { ...loaded, source }
    },
  })
  const loaded = require('ssh2') as typeof import('ssh2')
  hooks.deregister()
  if (left.size > 0) throw new Error(`ssh2 has another version or was already loaded: ${[...left][0]![0]}`)
  const { Channel, ClientStderr, ServerStderr } = require('ssh2/lib/Channel.js') as Record<string, { prototype: never }>
  mendWriting(Channel!.prototype, ServerStderr!.prototype)
  mendReading(Channel!.prototype, ClientStderr!.prototype)
  return loaded
}

/**
 * Patches how channels write. When ssh2 had to wait for a channel's window, it keeps the chunk after writing it, and
 * writes it again when the other output has had to wait. It also loses standard error that waits while standard output
 * waits. This patch drops a chunk once it is written, then writes the one that waits on the other output. ssh2 also
 * keeps writing while the connection is full or its keys are being exchanged; here a channel writes one piece and
 * waits.
 */
function mendWriting(channel: Channel, stderr: Stderr): void {
  const write = channel._write
  channel._write = function (data, encoding, done) {
    this._chunk = undefined
    this._chunkcb = undefined
    const next = afterPiece(this, this._client, data, done)
    write.call(this, data.subarray(0, largestPiece), encoding, next)
    if (this._chunk === undefined && this._chunkErr !== undefined)
      this.stderr._write(this._chunkErr, null, this._chunkcbErr!)
  }
  const writeStderr = stderr._write
  stderr._write = function (data, encoding, done) {
    this._channel._chunkErr = undefined
    this._channel._chunkcbErr = undefined
    const next = afterPiece(this, this._channel._client, data, done)
    writeStderr.call(this, data.subarray(0, largestPiece), encoding, next)
  }
}

/** Returns the callback for the first piece of some data: it writes the rest once the connection accepts more. */
function afterPiece(stream: Stream, client: Inside, data: Buffer, done: Done): Done {
  const rest = data.subarray(largestPiece)
  return (error) =>
    whenSent(client, () => (error || rest.length === 0 ? done(error) : stream._write(rest, undefined, done)))
}

const isFull = ({ _sock, _protocol }: Inside): boolean => _sock.writableNeedDrain || _protocol._queue !== undefined

/** Callbacks that wait until a connection accepts more. */
const waiting = new WeakMap<Inside, Set<() => void>>()

function whenSent(client: Inside, then: () => void): void {
  if (!isFull(client)) {
    then()
    return
  }
  const known = waiting.get(client)
  known?.add(then)
  if (known) return
  const all = new Set([then])
  waiting.set(client, all)
  const go = () => {
    for (const each of all) {
      if (isFull(client)) return
      all.delete(each)
      each()
    }
  }
  client._sock.on('drain', go)
  client.on('handshake', go)
}

/**
 * Patches how channels read. ssh2 accepts data beyond a channel's window. It reopens the window as soon as one of two
 * outputs is read, so that the other one's buffer grows without bound, and does so even after the channel has closed.
 * With this patch, unread bytes count against the window, and a connection whose other end exceeds the window is ended.
 * Windows start small and grow while everything is read.
 */
function mendReading(channel: Channel, stderr: Stderr): void {
  for (const [each, of] of [
    [channel, (stream: Stream) => stream as Channel],
    [stderr, (stream: Stream) => (stream as Stderr)._channel],
  ] as const) {
    const { push, read } = each
    each.push = function (data) {
      const { incoming, _client } = of(this)
      const { ended, buffer, bufferIndex } = this._readableState
      if (ended) return false
      if (!data) return push.call(this, data)
      if (incoming.window < 0) fail(_client, 'it sends more than it may')
      else if (buffer.length - bufferIndex > mostPackets) fail(_client, 'it sends too many small packets')
      else return push.call(this, data)
      return false
    }
    each.read = function (bytes) {
      const data = read.call(this, bytes)
      if (data) of(this).adjustWindow()
      return data
    }
  }
  channel.adjustWindow = function () {
    const { incoming, outgoing, _client } = this
    if (incoming.state !== 'open' || (outgoing.state !== 'open' && outgoing.state !== 'eof')) return
    const unread = (this.readableLength ?? 0) + (this.stderr.readableLength ?? 0)
    const size = this.size ?? firstWindow
    if (size - incoming.window - unread < size / 2) return
    if (unread === 0 && size < largestWindow && granted(_client) + size <= allWindows) this.size = size * 2
    const more = (this.size ?? size) - incoming.window - unread
    incoming.window += more
    _client._protocol.channelWindowAdjust(outgoing.id, more)
  }
}

const granted = ({ _chanMgr }: Inside): number =>
  Object.values(_chanMgr._channels).reduce((sum, each) => sum + ((each._channel ?? each).size ?? firstWindow), 0)

/** Ends a connection whose other end misbehaves. */
function fail(client: Inside, why: string): void {
  if (client._sock.destroyed) return
  client.emit('error', new Error(why))
  client._sock.destroy()
}

/** Destroys a connection's socket once the connection has failed, or when too much is queued for its other end. */
export function guard(connection: Client | Connection): void {
  const client = connection as unknown as Inside
  const { _sock } = client
  client.on('error', ({ message }: Error) => {
    client.fault ??= message
    setTimeout(() => _sock.destroy(), reasonMs).unref()
  })
  const write = _sock.write as (...args: unknown[]) => boolean
  _sock.write = (...args: unknown[]) => {
    const more = write.apply(_sock, args)
    if (_sock.writableLength > mostUnsent) fail(client, 'it does not read what it is sent')
    return more
  }
}

/** Returns why a channel's connection failed, worded as the end of a sentence. */
export const faultOf = (channel: ClientChannel): string | undefined => (channel as unknown as Channel)._client.fault

/** Returns how many channels a connection has, including those being opened. */
export const channelsOf = (connection: Client | Connection): number => (connection as unknown as Inside)._chanMgr._count

/** Tells whether a connection may have the channel that is being opened. */
export const hasRoom = (connection: Client | Connection): boolean => channelsOf(connection) <= mostChannels

/** Refuses a channel with a reason. @param reject ssh2's own function */
export function refuseChannel(connection: Connection, reject: () => void, why: string): void {
  const { _protocol } = connection as unknown as Inside
  const refuse = _protocol.channelOpenFail
  _protocol.channelOpenFail = (id, reason) => refuse.call(_protocol, id, reason, why)
  reject()
  _protocol.channelOpenFail = refuse
}

interface Inside extends EventEmitter {
  fault?: string
  _sock: Socket
  _chanMgr: { _count: number; _channels: Record<string, Channel & { _channel?: Channel }>; add(opened: Opened): number }
  _protocol: {
    _banner?: string
    /** Packets that wait for the end of a key exchange. */
    _queue: Buffer[] | undefined
    _packetRW: { write: { allocStart: number; alloc(bytes: number): Buffer; finalize(packet: Buffer): Buffer } }
    channelWindowAdjust(channel: number, bytes: number): void
    channelOpenFail(channel: number, reason: number, why: string): void
    openssh_authAgent(channel: number, window: number, packet: number): void
  }
}
type Opened = ((error: Error | undefined, channel: ServerChannel) => void) & { type?: string }

const packet = 32 * 1024

/** Opens a channel to the client's SSH agent (`auth-agent@openssh.com`). */
export function openAgent(client: Connection): Promise<ServerChannel> {
  const { _chanMgr, _protocol } = client as unknown as Inside
  return new Promise((resolve, reject) => {
    const opened: Opened = (error, channel) => (error ? reject(error) : resolve(channel))
    opened.type = 'auth-agent@openssh.com'
    if (channelsOf(client) < mostChannels) _protocol.openssh_authAgent(_chanMgr.add(opened), firstWindow, packet)
    else reject(new Error('there are too many channels'))
  })
}

/** Returns a client's socket. */
export const socketOf = (client: Connection): Socket => (client as unknown as Inside)._sock

/** Sets the text that a client is shown before it authenticates. Has no effect later. */
export function setBanner(client: Connection, text: string): void {
  const { _protocol } = client as unknown as Inside
  _protocol._banner = `${text.replaceAll('\n', '\r\n')}\r\n`
}

/** Shows a client a text while it authenticates (RFC 4252, section 5.4). Must not be called later. */
export function showBanner(client: Connection, text: string): void {
  const { _protocol } = client as unknown as Inside
  const { write } = _protocol._packetRW
  const shown = sshString(Buffer.from(text.replaceAll('\n', '\r\n')))
  const packet = write.alloc(1 + shown.length + 4)
  Buffer.concat([Buffer.of(53), shown, Buffer.alloc(4)]).copy(packet, write.allocStart)
  sendPacket(_protocol, write.finalize(packet))
}

/**
 * Restores a signature's wire format. ssh2 removes the name of the algorithm, and converts ECDSA signatures to DER. It
 * leaves signatures made with certificates unchanged.
 */
export function wireSignature({ key, hashAlgo, signature = Buffer.alloc(0) }: PublicKeyAuthContext): Buffer {
  const { algo } = key
  if (algo.includes('-cert-v01@')) return signature
  const name = sshString(Buffer.from(hashAlgo ? `rsa-sha2-${hashAlgo.slice(3)}` : algo))
  if (algo.startsWith('ecdsa-'))
    return Buffer.concat([name, sshString(Buffer.concat(integersOf(signature).map(sshString)))])
  if (!algo.startsWith('sk-')) return Buffer.concat([name, sshString(signature)])
  // A security key's signature is followed by flags (1 byte) and a counter (4 bytes).
  const end = Math.max(0, signature.length - 5)
  return Buffer.concat([name, sshString(signature.subarray(0, end)), signature.subarray(end)])
}

/** Returns the two integers of `SEQUENCE { INTEGER, INTEGER }` in DER; an empty list for anything else. */
function integersOf(der: Buffer): Buffer[] {
  const first = der[1] === 0x81 ? 3 : 2
  const middle = first + 2 + (der[first + 1] ?? 0)
  const at = (from: number) => der.subarray(from + 2, from + 2 + (der[from + 1] ?? 0))
  return der[0] === 0x30 && der[first] === 2 && der[middle] === 2 ? [at(first), at(middle)] : []
}

/** Sends EOF on a channel and keeps it open for reading: `end()` would close the channel. */
export function sayEnd(channel: ServerChannel): void {
  ;(channel as unknown as { eof(): void }).eof()
}
