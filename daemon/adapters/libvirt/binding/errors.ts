import { constants } from 'node:os'
import { CroftError, diskFull, type ErrorCode } from '../../../lib/error.ts'
import { errorCodeNames } from './error-codes.ts'

/** libvirt's description of a failure (`struct _virError` of virterror.h), in a form that can be sent to the parent. */
export interface LibvirtErrorFields {
  /** `virErrorNumber`, e.g. 42. */
  code: number
  /** `virErrorDomain`: the part of libvirt that failed, e.g. 10 for the QEMU driver. */
  domain: number
  /** `virErrorLevel`: 1 warning, 2 error. */
  level: number
  /** libvirt's own sentence. */
  message: string
  /** The libvirt function that failed, e.g. `virDomainCreateWithFlags`. */
  operation: string
  /** errno(3), when the operating system refused something (`SYSTEM_ERROR`). */
  errno?: number | undefined
  /** The connection to libvirtd was dead afterwards, so the error says nothing about the object of the call. */
  connectionLost?: boolean
}

/** A libvirt call that failed, in libvirt's own terms; `toCroftError` translates it. */
export class LibvirtError extends Error {
  readonly code: number
  /** libvirt's name of the code, e.g. `NO_DOMAIN`. */
  readonly codeName: string
  readonly domain: number
  readonly level: number
  readonly operation: string
  readonly errno: number | undefined
  readonly connectionLost: boolean

  constructor(fields: LibvirtErrorFields) {
    super(fields.message)
    this.name = 'LibvirtError'
    this.code = fields.code
    this.codeName = errorCodeNames[fields.code] ?? `code ${fields.code}`
    this.domain = fields.domain
    this.level = fields.level
    this.operation = fields.operation
    this.errno = fields.errno
    this.connectionLost = fields.connectionLost ?? false
  }

  fields(): LibvirtErrorFields {
    const { code, domain, level, message, operation, errno, connectionLost } = this
    return { code, domain, level, message, operation, errno, connectionLost }
  }
}

type Meaning = readonly [code: ErrorCode, message: string, hint?: string]

const changed: Meaning = [
  'conflict',
  'The VM was turned off or changed while Croft was working on it.',
  'Check its state, then try again: croft ls',
]
const busy: Meaning = ['conflict', 'Another operation on the VM is under way.', 'Try again in a moment.']
const gone: Meaning = ['not-found', 'libvirt has no such object, or no longer has it.']
const silent: Meaning = ['guest-failed', 'The guest agent in the VM does not answer.', 'croft logs shows its console.']

const meanings: Readonly<Record<string, Meaning>> = {
  NO_DOMAIN: ['not-found', 'libvirt has no such VM, or no longer has it.'],
  NO_NETWORK: ['not-found', "The VMs' network is gone.", 'To check the box: croft doctor'],
  NO_DOMAIN_SNAPSHOT: gone,
  NO_DOMAIN_METADATA: gone,
  OPERATION_INVALID: changed,
  RESOURCE_BUSY: busy,
  BLOCK_COPY_ACTIVE: busy,
  OPERATION_TIMEOUT: ['timed-out', 'Another operation on the VM is taking too long.', 'Try again in a moment.'],
  OPERATION_ABORTED: ['cancelled', 'The operation was aborted.'],
  AGENT_UNRESPONSIVE: silent,
  AGENT_UNSYNCED: silent,
  AGENT_COMMAND_TIMEOUT: silent,
  AGENT_COMMAND_FAILED: [
    'guest-failed',
    'The guest agent in the VM reported a failure.',
    'croft logs shows its console.',
  ],
}

/** Matches the errors for a guest that ends during a call: their code depends on the call. */
const hasEnded = /domain is (not|no longer) running|guest unexpectedly quit|end of file from qemu monitor/i

/**
 * Translates the error of a failed call. libvirt's own message is for logs and diagnosis (`reasonOf`), and goes into
 * the hint of unforeseen errors. Any other error that is not a CroftError becomes `internal`.
 */
export function toCroftError(error: unknown): CroftError {
  if (error instanceof CroftError) return error
  if (!(error instanceof LibvirtError)) {
    const reason = error instanceof Error ? error.message : String(error)
    return unforeseen('Croft could not talk to libvirt.', reason, { cause: error })
  }
  if (error.connectionLost) return unavailable(error.message, error)
  const details = { libvirt: error.codeName, operation: error.operation, reason: `libvirt: ${error.message}` }
  if (isNoSpace(error)) return diskFull({ cause: error, details })
  const meaning = hasEnded.test(error.message) ? changed : meanings[error.codeName]
  if (!meaning)
    return unforeseen('libvirt failed to do what Croft asked for.', error.message, { cause: error, details })
  const [code, message, hint] = meaning
  return new CroftError(code, message, { hint, cause: error, details })
}

/** What QEMU says of a full disk reaches us as its words alone, under whatever code the call has. */
const isNoSpace = ({ errno, message }: LibvirtError): boolean =>
  errno === constants.errno.ENOSPC || /No space left on device/i.test(message)

const unforeseen = (
  message: string,
  reason: string,
  options: { cause: unknown; details?: Record<string, unknown> },
): CroftError => {
  const hint = `It says: ${reason}\nThe daemon’s log has more: journalctl -u croft`
  return new CroftError('internal', message, { ...options, hint })
}

/** Returns the error for a libvirt that can't be reached. @param reason ends with a period */
export function unavailable(reason: string, cause?: unknown): CroftError {
  return new CroftError('unavailable', `libvirt cannot be reached: ${reason}`, {
    hint: 'Is libvirtd running? systemctl status libvirtd',
    cause,
  })
}
