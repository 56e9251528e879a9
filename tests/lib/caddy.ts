import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { makeCaddy } from '../../daemon/adapters/caddy/client.ts'
import { startConfig } from '../../daemon/adapters/caddy/config.ts'
import { httpPort, httpsPort } from './croft.ts'
import { endsWithUs } from './program.ts'

/** A Caddy for one test, started with nothing but its admin API, as the box's Caddy is. */
export class TestCaddy implements AsyncDisposable {
  readonly folder: string
  readonly admin: string
  #child: ChildProcess | undefined

  static async start(): Promise<TestCaddy> {
    const caddy = new TestCaddy(await mkdtemp(join(tmpdir(), 'croft-caddy-')))
    await caddy.start()
    return caddy
  }

  private constructor(folder: string) {
    this.folder = folder
    this.admin = join(folder, 'admin.sock')
  }

  get pid(): number {
    return this.#child!.pid!
  }

  /** The `web` part of the configuration of a daemon that drives this Caddy. */
  get web() {
    return { admin: this.admin, gate: join(this.folder, 'gate.sock'), group: 'root', http: httpPort, https: httpsPort }
  }

  /** The configuration that it starts with: its admin API alone. */
  get nothing() {
    return startConfig(this.admin)
  }

  async start(): Promise<void> {
    await rm(this.admin, { force: true })
    const path = join(this.folder, 'begin.json')
    await writeFile(path, JSON.stringify(this.nothing))
    this.#child = spawn('setpriv', [...endsWithUs, 'caddy', 'run', '--config', path], {
      env: { PATH: process.env.PATH, XDG_DATA_HOME: this.folder, XDG_CONFIG_HOME: this.folder },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let said = ''
    this.#child.stderr!.on('data', (chunk) => (said += chunk))
    while (
      !(await this.api.config().then(
        () => true,
        () => false,
      ))
    ) {
      if (this.#child.exitCode !== null) throw new Error(`Caddy ended:\n${said}`)
      await delay(20)
    }
  }

  get api() {
    return makeCaddy(this.admin)
  }

  /** Arguments that make curl resolve every host name to this machine. */
  readonly resolve = ['--resolve', `*:${httpPort}:127.0.0.1`]

  async kill(): Promise<void> {
    if (this.#child && this.#child.exitCode === null && this.#child.signalCode === null) {
      this.#child.kill('SIGKILL')
      await once(this.#child, 'exit')
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
    await rm(this.folder, { recursive: true, force: true })
  }
}
