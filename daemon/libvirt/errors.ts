import { CroftError, diskFull, type ErrorCode } from '../error.ts'
import { errorCodeNames } from './error-codes.ts'

/** What libvirt says about a failure (`struct _virError` of virterror.h), in a form that crosses to the parent. */
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
  /** The connection to libvirtd was dead afterwards, so that the call says nothing about its object. */
  connectionLost?: boolean
}

/** A libvirt call that failed, as libvirt tells it. `toCroftError` says what it means. */
export class LibvirtError extends Error {
  readonly code: number
  /** libvirt's name of the code, e.g. `NO_DOMAIN`. */
  readonly codeName: string
  readonly domain: number
  readonly level: number
  readonly operation: string
  readonly connectionLost: boolean

  constructor(fields: LibvirtErrorFields) {
    super(fields.message)
    this.name = 'LibvirtError'
    this.code = fields.code
    this.codeName = errorCodeNames[fields.code] ?? `code ${fields.code}`
    this.domain = fields.domain
    this.level = fields.level
    this.operation = fields.operation
    this.connectionLost = fields.connectionLost ?? false
  }

  fields(): LibvirtErrorFields {
    const { code, domain, level, message, operation, connectionLost } = this
    return { code, domain, level, message, operation, connectionLost }
  }
}

const meanings: Readonly<Record<string, ErrorCode>> = {
  NO_DOMAIN: 'not-found',
  NO_NETWORK: 'not-found',
  NO_DOMAIN_SNAPSHOT: 'not-found',
  NO_DOMAIN_METADATA: 'not-found',
  OPERATION_INVALID: 'conflict',
  RESOURCE_BUSY: 'conflict',
  BLOCK_COPY_ACTIVE: 'conflict',
  OPERATION_TIMEOUT: 'timed-out',
  OPERATION_ABORTED: 'cancelled',
  AGENT_UNRESPONSIVE: 'guest-failed',
  AGENT_UNSYNCED: 'guest-failed',
  AGENT_COMMAND_TIMEOUT: 'guest-failed',
  AGENT_COMMAND_FAILED: 'guest-failed',
}

/** What a failed call means to Croft. libvirt's sentence is in the message and the LibvirtError in `cause`; any other error that is not a CroftError becomes `internal`. */
export function toCroftError(error: unknown): CroftError {
  if (error instanceof CroftError) return error
  if (!(error instanceof LibvirtError)) {
    return new CroftError('internal', `The libvirt binding failed: ${error instanceof Error ? error.message : error}`, {
      cause: error,
    })
  }
  if (error.connectionLost) return unavailable(error.message, error)
  const details = { libvirt: error.codeName, operation: error.operation }
  if (/No space left on device/i.test(error.message)) return diskFull({ cause: error, details })
  return new CroftError(meanings[error.codeName] ?? 'internal', `libvirt: ${error.message}`, { cause: error, details })
}

/** There is no libvirt to talk to; `reason` says why. */
export function unavailable(reason: string, cause?: unknown): CroftError {
  return new CroftError('unavailable', `libvirt cannot be reached: ${reason}`, {
    hint: 'Is libvirtd running? systemctl status libvirtd',
    cause,
  })
}
