import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { chown, mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { passName } from '../../adapters/caddy/config.ts'
import type { Peer } from '../../core/interfaces/web.ts'
import type { Grant } from './connections.ts'

export interface Pass {
  /** The host name as the client writes it. */
  host: string
  peer: Peer
  /** The session's token, or null: it is for a public port. */
  token: string | null
  /** Id of the VM that it leads to, and `address:port` there. */
  vm: string
  upstream: string
  grant: Grant
}

/** After this long the gate is asked again: it notes what is used, and that a page has been found elsewhere meanwhile. */
const lastsMs = 10_000
const most = 10_000
/** Of a name in a folder (NAME_MAX of Linux). */
const longestName = 255

/**
 * The passes that are given: each lets a connection's next requests go to a VM without asking (see `passName`, which says
 * how Caddy finds them). They are files, so that taking one back is over when it returns, and Caddy is told nothing.
 * Whatever happens to a VM or to a right takes back what stands on it; the connection is asked about again.
 */
export class GrantCache {
  readonly #folder: string
  readonly #given = new Map<string, Pass & { until: number }>()
  #timer: NodeJS.Timeout | undefined

  /** @param folder is the passes' alone, and only Caddy and root may look into it: names have tokens in them */
  constructor(folder: string) {
    this.#folder = folder
  }

  /** Begins with none. @param gid the group that Caddy runs with */
  async open(gid: number): Promise<void> {
    await this.close()
    await mkdir(this.#folder, { recursive: true, mode: 0o750 })
    await chown(this.#folder, 0, gid)
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#given.clear()
    await rm(this.#folder, { recursive: true, force: true })
  }

  give(pass: Pass): void {
    const name = passName(pass.host, pass.peer.slice(pass.peer.indexOf(' ') + 1), pass.token)
    if (this.#given.has(name) || this.#given.size >= most || Buffer.byteLength(name) > longestName) return
    if (/[/\0]/.test(name + pass.upstream)) return
    try {
      mkdirSync(join(this.#folder, name))
      this.#given.set(name, { ...pass, until: performance.now() + lastsMs })
      writeFileSync(join(this.#folder, name, pass.upstream), '')
      this.#timer ??= setTimeout(() => this.#takeBackOld(), lastsMs).unref()
    } catch {
      // Without it the gate is asked, as before.
      this.#takeBack(name)
    }
  }

  takeBack(which: (pass: Pass) => boolean): void {
    for (const [name, pass] of this.#given) if (which(pass)) this.#takeBack(name)
  }

  /** Takes back those that have lasted long enough: they are in the order in which they were given. */
  #takeBackOld(): void {
    this.#timer = undefined
    const now = performance.now()
    for (const [name, pass] of this.#given) {
      if (pass.until > now) {
        this.#timer = setTimeout(() => this.#takeBackOld(), pass.until - now).unref()
        return
      }
      this.#takeBack(name)
    }
  }

  #takeBack(name: string): void {
    this.#given.delete(name)
    rmSync(join(this.#folder, name), { recursive: true, force: true })
  }
}
