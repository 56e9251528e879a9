import { LibvirtError } from './errors.ts'
import { callNative, type Pointer, vir } from './ffi.ts'

/** A child's only connection: opened when it is first needed, and again after libvirtd was gone. */
export interface Connection {
  readonly uri: string
  /**
   * The open virConnectPtr. Blocks while libvirtd hangs.
   * @throws LibvirtError with `connectionLost` when it cannot be reached.
   */
  get(): Pointer
  /**
   * Runs `use` with the connection. If that fails and leaves the connection dead, the error says so and it is closed.
   */
  run<T>(use: (conn: Pointer) => T): T
  close(): void
}

export function connection(uri: string): Connection {
  let conn: Pointer = 0

  const get = (): Pointer => {
    if (conn !== 0) return conn
    try {
      conn = callNative('virConnectOpen', uri)
      return conn
    } catch (error) {
      throw lost(error)
    }
  }
  const close = () => {
    if (conn !== 0) vir.virConnectClose(conn)
    conn = 0
  }
  const run = <T>(use: (conn: Pointer) => T): T => {
    const open = get()
    try {
      return use(open)
    } catch (error) {
      if (!(error instanceof LibvirtError) || vir.virConnectIsAlive(open) === 1) throw error
      close()
      throw lost(error)
    }
  }
  return { uri, get, run, close }
}

function lost(error: unknown): unknown {
  return error instanceof LibvirtError ? new LibvirtError({ ...error.fields(), connectionLost: true }) : error
}
