/**
 * The C side. This is the only file that names the FFI package, and only bridge children load it, never the daemon.
 *
 * A native pointer is a plain number here (user-space addresses fit into 53 bits). Memory is copied into a Buffer of
 * ours, so nothing in JavaScript ever points into memory that C may free.
 */
import ffi from 'ffi-napi'
import { errorCodeNames } from './error-codes.ts'
import { LibvirtError } from './errors.ts'

declare const native: unique symbol
/** The address of something that libvirt owns or gave us. 0 is NULL. */
export type Pointer = number & { readonly [native]?: true }

interface CTypes {
  void: undefined
  int: number
  uint: number
  ulong: number
  /** A pointer, or an unsigned 64-bit number. */
  uint64: Pointer
  /** A C string as an argument; null is NULL. */
  string: string | null
  /** A Buffer of ours that C fills or reads; null is NULL. */
  pointer: Buffer | null
}
export type CType = keyof CTypes
type Signature = readonly [returns: CType, takes: readonly CType[]]
export type Values<T extends readonly CType[]> = { -readonly [K in keyof T]: CTypes[T[K]] }
type Bound<T extends Record<string, Signature>> = {
  readonly [K in keyof T]: ((...args: Values<T[K][1]>) => CTypes[T[K][0]]) & {
    /** Runs on a thread of the pool. Only for the event loop, because libvirt's errors are per thread. */
    async(...args: [...Values<T[K][1]>, done: (error: Error | null, value: CTypes[T[K][0]]) => void]): void
  }
}

function library<const T extends Record<string, Signature>>(file: string, functions: T): Bound<T> {
  return ffi.Library(file, functions as never) as unknown as Bound<T>
}

const ptr = 'uint64'
const out = 'pointer'

export const c = library('libc.so.6', {
  memcpy: [ptr, [out, ptr, 'uint64']],
  strlen: ['uint64', [ptr]],
  free: ['void', [ptr]],
  prctl: ['int', ['int', 'ulong', 'ulong', 'ulong', 'ulong']],
})

const virFunctions = {
  virInitialize: ['int', []],
  virGetLastError: [ptr, []],
  virResetLastError: ['void', []],
  virSetErrorFunc: ['void', [out, out]],

  virConnectOpen: [ptr, ['string']],
  virConnectClose: ['int', [ptr]],
  virConnectIsAlive: ['int', [ptr]],
  virConnectSetKeepAlive: ['int', [ptr, 'int', 'uint']],
  virConnectRegisterCloseCallback: ['int', [ptr, out, ptr, ptr]],
  virConnectGetType: [ptr, [ptr]],
  virConnectGetVersion: ['int', [ptr, out]],
  virConnectGetLibVersion: ['int', [ptr, out]],
  virConnectGetCapabilities: [ptr, [ptr]],
  virConnectGetDomainCapabilities: [ptr, [ptr, 'string', 'string', 'string', 'string', 'uint']],
  virConnectListAllDomains: ['int', [ptr, out, 'uint']],
  virConnectListAllNetworks: ['int', [ptr, out, 'uint']],
  virConnectGetAllDomainStats: ['int', [ptr, 'uint', out, 'uint']],
  virConnectDomainEventRegisterAny: ['int', [ptr, ptr, 'int', out, ptr, ptr]],

  virEventRegisterDefaultImpl: ['int', []],
  virEventRunDefaultImpl: ['int', []],
  virEventAddTimeout: ['int', ['int', out, ptr, ptr]],
  virEventUpdateTimeout: ['void', ['int', 'int']],

  virNodeGetInfo: ['int', [ptr, out]],

  virDomainFree: ['int', [ptr]],
  virDomainLookupByUUIDString: [ptr, [ptr, 'string']],
  virDomainGetName: [ptr, [ptr]],
  virDomainGetUUIDString: ['int', [ptr, out]],
  virDomainGetID: ['uint', [ptr]],
  virDomainGetState: ['int', [ptr, out, out, 'uint']],
  virDomainGetXMLDesc: [ptr, [ptr, 'uint']],
  virDomainDefineXMLFlags: [ptr, [ptr, 'string', 'uint']],
  virDomainUndefineFlags: ['int', [ptr, 'uint']],
  virDomainCreateWithFlags: ['int', [ptr, 'uint']],
  virDomainShutdownFlags: ['int', [ptr, 'uint']],
  virDomainDestroyFlags: ['int', [ptr, 'uint']],
  virDomainSuspend: ['int', [ptr]],
  virDomainResume: ['int', [ptr]],
  virDomainSaveFlags: ['int', [ptr, 'string', 'string', 'uint']],
  virDomainRestoreFlags: ['int', [ptr, 'string', 'string', 'uint']],
  virDomainSetMemoryFlags: ['int', [ptr, 'ulong', 'uint']],
  virDomainSetMemoryStatsPeriod: ['int', [ptr, 'int', 'uint']],
  virDomainMemoryStats: ['int', [ptr, out, 'uint', 'uint']],
  virDomainSetSchedulerParametersFlags: ['int', [ptr, out, 'int', 'uint']],
  virDomainSetBlkioParameters: ['int', [ptr, out, 'int', 'uint']],
  virDomainSetBlockIoTune: ['int', [ptr, 'string', out, 'int', 'uint']],
  virDomainGetJobInfo: ['int', [ptr, out]],
  virDomainAbortJob: ['int', [ptr]],
  virDomainAgentSetResponseTimeout: ['int', [ptr, 'int', 'uint']],
  virDomainMigrateSetMaxDowntime: ['int', [ptr, 'uint64', 'uint']],
  virDomainSnapshotCreateXML: [ptr, [ptr, 'string', 'uint']],
  virDomainSnapshotGetName: [ptr, [ptr]],
  virDomainSnapshotFree: ['int', [ptr]],
  virDomainBlockCommit: ['int', [ptr, 'string', 'string', 'string', 'ulong', 'uint']],
  virDomainBlockJobAbort: ['int', [ptr, 'string', 'uint']],
  virDomainBlockResize: ['int', [ptr, 'string', 'uint64', 'uint']],
  virDomainStatsRecordListFree: ['void', [ptr]],

  virNetworkFree: ['int', [ptr]],
  virNetworkLookupByUUIDString: [ptr, [ptr, 'string']],
  virNetworkLookupByName: [ptr, [ptr, 'string']],
  virNetworkGetName: [ptr, [ptr]],
  virNetworkGetUUIDString: ['int', [ptr, out]],
  virNetworkGetXMLDesc: [ptr, [ptr, 'uint']],
  virNetworkDefineXML: [ptr, [ptr, 'string']],
  virNetworkCreate: ['int', [ptr]],
  virNetworkDestroy: ['int', [ptr]],
  virNetworkUndefine: ['int', [ptr]],
  virNetworkSetAutostart: ['int', [ptr, 'int']],
  virNetworkGetAutostart: ['int', [ptr, out]],
  virNetworkIsActive: ['int', [ptr]],
  virNetworkIsPersistent: ['int', [ptr]],
  virNetworkUpdate: ['int', [ptr, 'uint', 'uint', 'int', 'string', 'uint']],
} as const satisfies Record<string, Signature>

const qemuFunctions = {
  virDomainQemuAgentCommand: [ptr, [ptr, 'string', 'int', 'uint']],
  virDomainQemuMonitorCommand: ['int', [ptr, 'string', out, 'uint']],
} as const satisfies Record<string, Signature>

/** libvirt's functions as they are. Prefer `callNative`, which reads the error. */
export const vir = { ...library('libvirt.so.0', virFunctions), ...library('libvirt-qemu.so.0', qemuFunctions) }

const returnsPointer = new Set(
  Object.entries({ ...virFunctions, ...qemuFunctions }).flatMap(([name, [returns]]) => (returns === ptr ? name : [])),
)

/**
 * Returns a C function pointer that calls `body` on this process's main thread, whichever thread C calls it from. The
 * caller must keep a reference to the result for as long as C may call it.
 */
export function callback<const T extends readonly CType[]>(takes: T, body: (...args: Values<T>) => void): Buffer {
  return ffi.Callback('void', takes as never, body as never)
}

/**
 * Keeps libvirt from printing every error to standard error, as it does without a handler. A handler in JavaScript
 * would run on any thread, so the handler is C's `free`, which gets NULL.
 */
export function silenceErrors(): void {
  vir.virSetErrorFunc(null, ffi.DynamicLibrary('libc.so.6').get('free'))
}

/**
 * Makes the kernel kill this process when the thread that forked it ends (prctl(2), PR_SET_PDEATHSIG = 1), even during
 * a blocked call.
 */
export function dieWithParent(): void {
  const SIGKILL = 9
  c.prctl(1, SIGKILL, 0, 0, 0)
}

/** Returns eight zero bytes, into which C can write a pointer or a number of up to 64 bits. */
export const slot = (): Buffer => Buffer.alloc(8)

/** Returns a copy of `bytes` bytes at `address`. */
export function read(address: Pointer, bytes: number): Buffer {
  const buffer = Buffer.alloc(bytes)
  if (bytes > 0) c.memcpy(buffer, address, bytes)
  return buffer
}

export function pointerAt(buffer: Buffer, offset = 0): Pointer {
  return Number(buffer.readBigUInt64LE(offset))
}

/** Returns the C string at `address`, which libvirt keeps; null for NULL. */
export function borrowString(address: Pointer): string | null {
  return address === 0 ? null : read(address, c.strlen(address)).toString()
}

/** Returns the C string at `address`, which is ours, and frees it. */
export function takeString(address: Pointer): string {
  const text = borrowString(address) ?? ''
  c.free(address)
  return text
}

/** Reads each of the `count` pointers in the array at `address`, releases each with `release`, then frees the array. */
export function takeList<T>(
  address: Pointer,
  count: number,
  each: (item: Pointer) => T,
  release: (item: Pointer) => unknown,
): T[] {
  const pointers = read(address, count * 8)
  const items = Array.from({ length: count }, (_, i) => pointerAt(pointers, i * 8))
  try {
    return items.map(each)
  } finally {
    for (const item of items) release(item)
    c.free(address)
  }
}

/**
 * Returns libvirt's last error on this thread, and resets it. `struct _virError`: code at 0, domain at 4, message at 8,
 * level at 16, int1 at 56: the errno of a SYSTEM_ERROR.
 */
export function lastError(operation: string): LibvirtError {
  const address = vir.virGetLastError()
  if (address === 0) return new LibvirtError({ code: 1, domain: 0, level: 2, message: 'no reason given', operation })
  const struct = read(address, 60)
  const code = struct.readInt32LE(0)
  const error = new LibvirtError({
    code,
    domain: struct.readInt32LE(4),
    message: borrowString(pointerAt(struct, 8)) ?? 'no reason given',
    level: struct.readInt32LE(16),
    errno: errorCodeNames[code] === 'SYSTEM_ERROR' ? struct.readInt32LE(56) : undefined,
    operation,
  })
  vir.virResetLastError()
  return error
}

/**
 * Calls a libvirt function. If it fails (an int below 0, or a pointer that is 0), reads the error immediately, on the
 * same thread.
 * @throws LibvirtError
 */
export function callNative<K extends keyof typeof vir>(
  name: K,
  ...args: Parameters<(typeof vir)[K]>
): ReturnType<(typeof vir)[K]> {
  const result = (vir[name] as (...values: unknown[]) => number)(...args)
  if (result < 0 || (result === 0 && returnsPointer.has(name))) throw lastError(name)
  return result as ReturnType<(typeof vir)[K]>
}
