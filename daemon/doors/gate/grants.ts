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
  /** The session's token; null for a public port. */
  token: string | null
  /** Id of the VM, and the `address:port` in it. */
  vm: string
  upstream: string
  grant: Grant
}

/** Lifetime of a pass. Then the gate is asked again, so that it notes the use of the VM and can find another port. */
const lastsMs = 10_000
const most = 10_000
/** Maximum length of a file name (NAME_MAX of Linux). */
const longestName = 255

/**
 * The passes in force. A pass lets the next requests of a connection go to a VM without asking the gate; `passName`
 * explains how Caddy finds it. Passes are files: a revocation is effective as soon as the call returns, and Caddy needs
 * no notice. When a VM or an access right changes, its passes are revoked, and Caddy asks about the connection's next
 * request again.
 */
export class GrantCache {
  readonly #folder: string
  readonly #given = new Map<string, Pass & { until: number }>()
  #timer: NodeJS.Timeout | undefined

  /** @param folder for passes only; only Caddy and root can read it, because the file names contain tokens */
  constructor(folder: string) {
    this.#folder = folder
  }

  /** Starts with an empty folder. @param gid the group that Caddy runs with */
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
      // Best effort: without a pass, Caddy asks the gate.
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
