import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { lean } from '../../daemon/wire/gateway-process.ts'
import { type Croft, type CroftOptions, cache, slot, startCroft } from './croft.ts'
import { type Ended, endsWithUs, must, program } from './program.ts'

/** The port of a test's gateway. */
export const sshPort = 17_400 + slot
/** The socket at which it asks the daemon. Its path is known before that of the state folder. */
export const gatewaySocket = join(cache, `ssh-${slot}.sock`)
export const gatewayUser = 'croft-ssh'
const root = join(import.meta.dirname, '..', '..')

/** A croftd with a gateway beside it, and a laptop whose key may enter all VMs. */
export interface Reached extends AsyncDisposable {
  croft: Croft
  gateway: Gateway
  laptop: Laptop
}

/** @param env additional environment of the gateway */
export async function startReached(options: CroftOptions = {}, env: Record<string, string> = {}): Promise<Reached> {
  await using ends = new AsyncDisposableStack()
  if ((await program('getent', ['passwd', gatewayUser])).code !== 0)
    await must('useradd', [
      ...['--system', '--user-group', '--no-create-home', '--shell', '/usr/sbin/nologin'],
      gatewayUser,
    ])
  const ssh = { port: sshPort, address: '127.0.0.1', socket: gatewaySocket, user: gatewayUser }
  const croft = ends.use(await startCroft({ ...options, config: { ssh, ...options.config } }))
  const gateway = ends.use(new Gateway(croft, env))
  await gateway.start()
  const laptop = ends.use(await Laptop.make())
  await croft.do('key', 'add', laptop.path('id_ed25519.pub'), '--name', 'laptop')
  const all = ends.move()
  return { croft, gateway, laptop, [Symbol.asyncDispose]: () => all.disposeAsync() }
}

/** A real croft-ssh beside a test's croftd, as a user of its own. */
export class Gateway implements AsyncDisposable {
  readonly #croft: Croft
  readonly #env: Record<string, string>
  #child: ChildProcess | undefined
  #ended: Promise<unknown> = Promise.resolve()
  readonly log: string[] = []

  constructor(croft: Croft, env: Record<string, string> = {}) {
    this.#croft = croft
    this.#env = env
  }

  get pid(): number {
    return this.#child!.pid!
  }

  async start(): Promise<void> {
    const child = spawn(
      'setpriv',
      [
        ...endsWithUs,
        ...(await asItself()),
        join(root, 'node_modules/.bin/node'),
        ...lean.flags,
        join(root, 'daemon/gateway.ts'),
        '--config',
        join(this.#croft.folder, 'config.json'),
      ],
      {
        env: { PATH: process.env.PATH, HOME: '/nonexistent', ...lean.env, ...this.#env },
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    )
    this.#child = child
    this.#ended = once(child, 'exit')
    const ready = Promise.withResolvers<void>()
    for (const stream of [child.stdout!, child.stderr!])
      createInterface({ input: stream }).on('line', (line) => {
        this.log.push(line)
        if (line.includes('"msg":"ready"')) ready.resolve()
      })
    await Promise.race([
      ready.promise,
      this.#ended.then(() => {
        throw new Error(`croft-ssh ended before it was ready:\n${this.log.join('\n')}`)
      }),
    ])
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    this.#child?.kill(signal)
    await this.#ended
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
  }
}

/** Runs it as its own user, where that user can read this checkout. */
async function asItself(): Promise<string[]> {
  const as = ['--reuid', gatewayUser, '--regid', gatewayUser, '--clear-groups', '--no-new-privs', '--inh-caps=-all']
  const read = await program('setpriv', [...as, 'test', '-r', join(root, 'daemon/gateway.ts')])
  if (read.code === 0) return as
  console.info(`${gatewayUser} can't read ${root}: the gateway runs as this user`)
  return ['--inh-caps=-all']
}

/** A person's laptop: a folder with OpenSSH keys and settings, and OpenSSH's programs. */
export class Laptop implements AsyncDisposable {
  readonly folder: string

  static async make(): Promise<Laptop> {
    const laptop = new Laptop(await mkdtemp(join(cache, 'laptop-')))
    await laptop.key('id_ed25519')
    await laptop.#configure('config', 'id_ed25519')
    return laptop
  }

  /** Arguments that make an OpenSSH program use this laptop's settings, but another of its keys. */
  async as(key: string): Promise<string[]> {
    await this.#configure(`config-${key}`, key)
    return ['-F', this.path(`config-${key}`)]
  }

  async #configure(name: string, key: string): Promise<void> {
    await writeFile(
      this.path(name),
      [
        'Host *',
        `  Port ${sshPort}`,
        '  HostName 127.0.0.1',
        `  UserKnownHostsFile ${this.folder}/known_hosts`,
        '  StrictHostKeyChecking accept-new',
        '  IdentitiesOnly yes',
        `  IdentityFile ${this.path(key)}`,
        '  ConnectTimeout 30',
        '',
      ].join('\n'),
    )
  }

  private constructor(folder: string) {
    this.folder = folder
  }

  path = (name: string): string => join(this.folder, name)

  /** Makes a key unless it exists. @returns its public line */
  async key(name: string, ...args: string[]): Promise<string> {
    const path = this.path(name)
    if (
      !(await access(path).then(
        () => true,
        () => false,
      ))
    )
      await must('ssh-keygen', ['-q', '-t', 'ed25519', ...args, '-N', '', '-C', name, '-f', path])
    return (await readFile(`${path}.pub`, 'utf8')).trim()
  }

  /** Arguments that make an OpenSSH program use this laptop's settings. */
  get settings(): string[] {
    return ['-F', this.path('config')]
  }

  ssh(
    args: readonly string[],
    options: { input?: string | Buffer; timeoutMs?: number; env?: NodeJS.ProcessEnv } = {},
  ): Promise<Ended> {
    return program('ssh', [...this.settings, ...args], { timeoutMs: 120_000, ...options })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.folder, { recursive: true, force: true })
  }
}
