import { execFileSync } from 'node:child_process'
import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { isWithin } from '../../lib/text/addresses.ts'
import { BadKey, certificateFault, readSshKey, verifyWire } from './key.ts'

/** Keys and certificates from ssh-keygen, and signatures as clients and security keys make them. */
const folder = mkdtempSync(join(tmpdir(), 'croft-keys-'))
afterAll(() => rmSync(folder, { recursive: true }))

const keygen = (...args: string[]) => execFileSync('ssh-keygen', args, { cwd: folder, stdio: 'pipe' }).toString()
const blobOf = (file: string) => Buffer.from(readFileSync(join(folder, file), 'utf8').split(' ')[1]!, 'base64')
const ssh = (value: Buffer | string) => {
  const bytes = Buffer.from(value)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(bytes.length)
  return Buffer.concat([length, bytes])
}

/** What ssh-keygen -Y signs (PROTOCOL.sshsig), with the signature in its wire format. */
function signed(file: string): { data: Buffer; signature: Buffer } {
  writeFileSync(join(folder, 'message'), 'a message')
  rmSync(join(folder, 'message.sig'), { force: true })
  keygen('-q', '-Y', 'sign', '-n', 'test', '-f', file, 'message')
  const armoured = readFileSync(join(folder, 'message.sig'), 'utf8').replace(/-----.*-----/g, '')
  const blob = Buffer.from(armoured, 'base64')
  let at = 6 + 4
  const next = () => {
    const end = at + 4 + blob.readUInt32BE(at)
    const part = blob.subarray(at + 4, end)
    at = end
    return part
  }
  const [, namespace, , hash, signature] = [next(), next(), next(), next(), next()]
  const digest = createHash(hash!.toString()).update('a message').digest()
  return {
    data: Buffer.concat([Buffer.from('SSHSIG'), ssh(namespace!), ssh(''), ssh(hash!), ssh(digest)]),
    signature: signature!,
  }
}

describe.each([
  ['ed25519', []],
  ['ecdsa', ['-b', '256']],
  ['ecdsa', ['-b', '384']],
  ['ecdsa', ['-b', '521']],
  ['rsa', ['-b', '2048']],
] as const)('a key of %s %j', (type, more) => {
  const file = [type, ...more].join('')
  keygen('-q', '-t', type, ...more, '-N', '', '-f', file)
  const key = readSshKey(blobOf(`${file}.pub`))

  test('has the fingerprint that ssh-keygen prints', () => {
    expect(keygen('-lf', `${file}.pub`).split(' ')[1]).toBe(key.fingerprint)
  })

  test('verifies its own signatures, and nothing else', () => {
    const { data, signature } = signed(file)
    expect(verifyWire(key, data, signature)).toBe(true)
    expect(verifyWire(key, Buffer.concat([data, Buffer.of(0)]), signature)).toBe(false)
    for (let i = 0; i < signature.length; i++) {
      const other = Buffer.from(signature)
      other[i]! ^= 1
      expect(verifyWire(key, data, other)).toBe(false)
      expect(verifyWire(key, data, signature.subarray(0, i))).toBe(false)
    }
  })
})

test('a short RSA key, a key of an unsupported type, and bytes that are no key are refused with a reason', () => {
  keygen('-q', '-t', 'rsa', '-b', '1024', '-N', '', '-f', 'short')
  expect(() => readSshKey(blobOf('short.pub'))).toThrow('an RSA key of 1024 bits is too short')
  expect(() => readSshKey(ssh('ssh-dss'))).toThrow(BadKey)
  const whole = blobOf('ed25519.pub')
  for (let i = 0; i < whole.length; i++) expect(() => readSshKey(whole.subarray(0, i))).toThrow(BadKey)
  expect(() => readSshKey(Buffer.concat([whole, Buffer.of(0)]))).toThrow(BadKey)
})

describe('a security key', () => {
  const application = 'ssh:'
  /** The answer of a security key (PROTOCOL.u2f): the signature, followed by flags and counter. */
  const touch = (key: KeyObject, type: string, data: Buffer, flags: number) => {
    const tail = Buffer.alloc(5)
    tail[0] = flags
    tail.writeUInt32BE(42, 1)
    const sha = (bytes: Buffer | string) => createHash('sha256').update(bytes).digest()
    const message = Buffer.concat([sha(application), tail, sha(data)])
    if (type.includes('ed25519')) return Buffer.concat([ssh(type), ssh(sign(null, message, key)), tail])
    const raw = sign('sha256', message, { key, dsaEncoding: 'ieee-p1363' })
    const integer = (bytes: Buffer) => ssh(bytes[0]! & 0x80 ? Buffer.concat([Buffer.of(0), bytes]) : bytes)
    return Buffer.concat([
      ssh(type),
      ssh(Buffer.concat([integer(raw.subarray(0, 32)), integer(raw.subarray(32))])),
      tail,
    ])
  }
  const ed = generateKeyPairSync('ed25519')
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const of = (key: KeyObject, part: 'x' | 'y') => Buffer.from(key.export({ format: 'jwk' })[part]!, 'base64url')
  const cases = [
    ['sk-ssh-ed25519@openssh.com', ed.privateKey, [ssh(of(ed.publicKey, 'x'))]],
    [
      'sk-ecdsa-sha2-nistp256@openssh.com',
      ec.privateKey,
      [ssh('nistp256'), ssh(Buffer.concat([Buffer.of(4), of(ec.publicKey, 'x'), of(ec.publicKey, 'y')]))],
    ],
  ] as const

  test.each(cases)('of type %s is accepted only when it was touched', (type, privateKey, parts) => {
    const key = readSshKey(Buffer.concat([ssh(type), ...parts, ssh(application)]))
    const data = Buffer.from('a session and what is asked for in it')
    expect(verifyWire(key, data, touch(privateKey, type, data, 1))).toBe(true)
    expect(verifyWire(key, data, touch(privateKey, type, data, 0))).toBe(false)
    const other = readSshKey(Buffer.concat([ssh(type), ...parts, ssh('ssh:other')]))
    expect(verifyWire(other, data, touch(privateKey, type, data, 1))).toBe(false)
  })
})

describe('a certificate', () => {
  keygen('-q', '-t', 'ed25519', '-N', '', '-f', 'ca')
  keygen('-q', '-t', 'ed25519', '-N', '', '-f', 'user')
  const certify = (...args: string[]) => {
    keygen('-q', '-s', 'ca', '-I', 'ada', ...args, 'user.pub')
    return readSshKey(blobOf('user-cert.pub'))
  }
  const fault = (key: ReturnType<typeof certify>, as: string[], address = '10.1.2.3', at = new Date()) =>
    certificateFault(key.certificate!, as, address, at, isWithin)

  test('has its key, its CA and its principals', () => {
    const key = certify('-n', 'croft,web', '-V', '+1h')
    expect(key.fingerprint).toBe(readSshKey(blobOf('user.pub')).fingerprint)
    expect(key.certificate!.authority.fingerprint).toBe(readSshKey(blobOf('ca.pub')).fingerprint)
    expect(key.certificate!.id).toBe('ada')
    expect([...key.certificate!.permits]).toContain('permit-pty')
    expect(fault(key, ['web'])).toBe(undefined)
    expect(fault(key, ['shop'])).toBe('it is for croft, web')
    expect(fault(key, ['web'], '10.1.2.3', new Date(Date.now() + 2 * 3600_000))).toMatch('has expired')
    expect(fault(certify('-V', '+1h'), ['web'])).toMatch('names no principals')
  })

  test('is limited to its addresses, and refused for an unknown critical option', () => {
    const near = certify('-n', 'web', '-O', 'source-address=10.0.0.0/8')
    expect(fault(near, ['web'])).toBe(undefined)
    expect(fault(near, ['web'], '::ffff:10.9.9.9')).toBe(undefined)
    expect(fault(near, ['web'], '192.0.2.1')).toBe('it is not for 192.0.2.1')
    expect(fault(certify('-n', 'web', '-O', 'force-command=ls'), ['web'])).toMatch('force-command')
  })

  test('for a host, or changed anywhere, is refused', () => {
    expect(() => certify('-h', '-n', 'web')).toThrow('for a host')
    certify('-n', 'web')
    const blob = blobOf('user-cert.pub')
    for (let i = 0; i < blob.length; i++) {
      const other = Buffer.from(blob)
      other[i]! ^= 1
      expect(() => readSshKey(other)).toThrow()
    }
  })
})
