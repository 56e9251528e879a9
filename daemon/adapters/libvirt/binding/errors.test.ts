import { describe, expect, it } from 'vitest'
import { CroftError, reasonOf } from '../../../lib/error.ts'
import { LibvirtError, toCroftError } from './errors.ts'

const libvirtError = (code: number, message = 'so it is', connectionLost = false) =>
  new LibvirtError({ code, domain: 10, level: 2, message, operation: 'virDomainCreate', connectionLost })

describe('what a libvirt error means', () => {
  it.each([
    [42, 'not-found'],
    [43, 'not-found'],
    [55, 'conflict'],
    [68, 'timed-out'],
    [86, 'guest-failed'],
    [1, 'internal'],
    [38, 'internal'],
    [9999, 'internal'],
  ] as const)('code %i is %s', (code, expected) => {
    const cause = libvirtError(code)
    const error = toCroftError(cause)
    expect(error).toMatchObject({ code: expected, cause })
    expect(error.message).not.toContain('so it is')
    expect(error.message).toMatch(/^\S.*\.$/)
    expect(reasonOf(error)).toBe('libvirt: so it is')
  })

  it.each([
    [55, 'Requested operation is not valid: domain is not running'],
    [9, 'operation failed: domain is no longer running'],
    [9, 'operation failed: guest unexpectedly quit'],
    [1, 'internal error: End of file from qemu monitor'],
  ])('a VM that is turned off during a copy or a checkpoint is reported in plain words: %i, %s', (code, message) => {
    expect(toCroftError(libvirtError(code, message))).toMatchObject({
      code: 'conflict',
      message: 'The VM was turned off or changed while Croft was working on it.',
      hint: 'Check its state, then try again: croft ls',
    })
  })

  it('an unforeseen error has libvirt’s message in its hint', () => {
    expect(toCroftError(libvirtError(1))).toMatchObject({
      message: 'libvirt failed to do what Croft asked for.',
      hint: 'It says: so it is\nThe daemon’s log has more: journalctl -u croft',
    })
  })

  it('a full disk is reported as such', () => {
    expect(toCroftError(libvirtError(38, 'Unable to write: No space left on device')).code).toBe('disk-full')
  })

  it.each([1, 38, 42])('code %i on a dead connection is unavailable', (code) => {
    expect(toCroftError(libvirtError(code, 'Broken pipe', true)).code).toBe('unavailable')
  })

  it('a CroftError stays what it is, and anything else is a defect', () => {
    const own = new CroftError('cancelled', 'No.')
    expect(toCroftError(own)).toBe(own)
    expect(toCroftError(new TypeError('x is not a function')).code).toBe('internal')
  })
})

it('a full disk is told by its errno, whatever the words, and by QEMU’s words where there is none', () => {
  const full = (fields: { code: number; message: string; errno?: number }) =>
    toCroftError(new LibvirtError({ domain: 10, level: 2, operation: 'virDomainSave', ...fields })).code
  expect(full({ code: 38, message: 'Kein Platz', errno: 28 })).toBe('disk-full')
  expect(full({ code: 9, message: 'write failed: No space left on device' })).toBe('disk-full')
  expect(full({ code: 38, message: 'Keine Rechte', errno: 13 })).not.toBe('disk-full')
})
