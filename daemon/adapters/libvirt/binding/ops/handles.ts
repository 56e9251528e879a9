import { borrowString, callNative, type Pointer, vir } from '../ffi.ts'

/** Passes a handle of the domain with this UUID to `use`, and always frees the handle afterwards. */
export function withDomain<T>(conn: Pointer, uuid: string, use: (domain: Pointer) => T): T {
  return lend(callNative('virDomainLookupByUUIDString', conn, uuid), vir.virDomainFree, use)
}

/** Passes a handle of the network with this UUID to `use`, and always frees the handle afterwards. */
export function withNetwork<T>(conn: Pointer, uuid: string, use: (network: Pointer) => T): T {
  return lend(callNative('virNetworkLookupByUUIDString', conn, uuid), vir.virNetworkFree, use)
}

/** Passes a handle that the caller owns to `use`, then frees it. */
export function lend<T>(handle: Pointer, free: (handle: Pointer) => unknown, use: (handle: Pointer) => T): T {
  try {
    return use(handle)
  } finally {
    free(handle)
  }
}

/** Calls a function that fills a UUID string: 36 characters and NUL (`VIR_UUID_STRING_BUFLEN`). */
function uuidString(fill: 'virDomainGetUUIDString' | 'virNetworkGetUUIDString', handle: Pointer): string {
  const buffer = Buffer.alloc(37)
  callNative(fill, handle, buffer)
  return buffer.toString('latin1', 0, 36)
}

export const domainUuid = (domain: Pointer): string => uuidString('virDomainGetUUIDString', domain)
export const networkUuid = (network: Pointer): string => uuidString('virNetworkGetUUIDString', network)
export const readDomainName = (domain: Pointer): string => borrowString(callNative('virDomainGetName', domain)) ?? ''
export const networkName = (network: Pointer): string => borrowString(callNative('virNetworkGetName', network)) ?? ''
