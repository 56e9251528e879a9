import { once } from 'node:events'
import { connect } from 'node:tls'
import { httpsPort } from './croft.ts'

/** Type, flags, stream (RFC 9113, section 4.1). */
function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head.writeUInt8(type, 3)
  head.writeUInt8(flags, 4)
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

/** Encodes a header field unchanged: literal, not indexed (RFC 7541, section 6.2.2), shorter than 127 bytes. */
function field([name, value]: readonly [string, string]): Buffer {
  const text = (of: string) => Buffer.concat([Buffer.from([of.length]), Buffer.from(of, 'latin1')])
  return Buffer.concat([Buffer.from([0]), text(name), text(value)])
}

/** The first byte of a response's headers for these statuses (RFC 7541, appendix A). */
const statuses: Readonly<Record<number, number>> = { 136: 200, 140: 400, 141: 404, 142: 500 }

/**
 * Sends one HTTP/2 request with exactly these header fields, some of which a library would refuse to send.
 * @returns its status; 0 for a status that is not in the table; undefined when the stream or the connection ended
 * instead
 */
export async function ask(
  servername: string,
  fields: readonly (readonly [string, string])[],
  body?: string,
): Promise<number | undefined> {
  const socket = connect({
    host: '127.0.0.1',
    port: httpsPort,
    servername,
    ALPNProtocols: ['h2'],
    rejectUnauthorized: false,
  })
  socket.on('error', () => {})
  try {
    await once(socket, 'secureConnect')
    const [headers, data, settings] = [1, 0, 4]
    socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
    socket.write(frame(settings, 0, 0, Buffer.alloc(0)))
    socket.write(frame(headers, body === undefined ? 5 : 4, 1, Buffer.concat(fields.map(field))))
    if (body !== undefined) socket.write(frame(data, 1, 1, Buffer.from(body)))
    let left = Buffer.alloc(0)
    for await (const chunk of socket) {
      left = Buffer.concat([left, chunk as Buffer])
      while (left.length >= 9 && left.length >= 9 + left.readUIntBE(0, 3)) {
        const [type, stream, payload] = [left[3], left.readUInt32BE(5), left.subarray(9, 9 + left.readUIntBE(0, 3))]
        if (type === headers && stream === 1) return statuses[payload[0]!] ?? 0
        if (type === 3 || type === 7) return undefined // RST_STREAM, GOAWAY
        left = left.subarray(9 + payload.length)
      }
    }
    return undefined
  } finally {
    socket.destroy()
  }
}
