/** The calls child: carries out operations, one after the other. */
import { connection } from './binding/connection.ts'
import { LibvirtError, type LibvirtErrorFields } from './binding/errors.ts'
import { type OpName, ops } from './binding/ops/index.ts'

export interface Request {
  op: OpName
  args: readonly unknown[]
}
export type Reply = { rssBytes: number } & (
  | { result: unknown }
  | { libvirtError: LibvirtErrorFields }
  /** A bug of ours, e.g. an argument of the wrong type. */
  | { defect: string }
)

/** Answers requests with `send`. @returns a function that ends the process */
export function serve(uri: string, send: (reply: Reply | 'ready') => void): () => void {
  const libvirt = connection(uri)
  process.on('message', ({ op, args }: Request) => {
    const operation = ops[op] as (conn: number, ...args: readonly unknown[]) => unknown
    const answer = attempt(() => libvirt.run((conn) => operation(conn, ...args)))
    send({ ...answer, rssBytes: process.memoryUsage.rss() })
  })
  send('ready')
  return () => {
    libvirt.close()
    process.exit(0)
  }
}

function attempt(body: () => unknown) {
  try {
    return { result: body() }
  } catch (error) {
    if (error instanceof LibvirtError) return { libvirtError: error.fields() }
    return { defect: error instanceof Error ? (error.stack ?? error.message) : String(error) }
  }
}
