import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, openSync } from 'node:fs'
import { cp, link, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import http from 'node:http'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { runScript } from '../../daemon/adapters/guest/agent.ts'
import type { Config } from '../../daemon/config.ts'
import { unforeseen } from '../../daemon/lib/process/outlive-errors.ts'
import type { State } from '../../daemon/store/index.ts'
import { type Ended, endsWithUs, must, program } from './program.ts'

/**
 * A real croftd for a test, with a state folder, network, port and names of its own; on the box's libvirtd, QEMU and
 * nftables. All test files share one built image. Files that run side by side each have a slot of their own, 0 to 9;
 * `CROFT_TEST_SLOT` sets it, for a run beside another.
 */
export const slot = Number(process.env.CROFT_TEST_SLOT ?? Number(process.env.VITEST_POOL_ID ?? 1) - 1)
const root = join(import.meta.dirname, '..', '..')
export const cache = process.env.CROFT_TEST_CACHE ?? '/var/tmp/croft-test'
export const names = {
  name: `ctest${slot}`,
  bridge: `ctest${slot}b`,
  subnet: `10.${87 + slot}.0.0/16`,
  tapPrefix: `ct${slot}-`,
  table: `ctest${slot}`,
}
const port = 17_100 + slot
/**
 * Plenty for the default image. Where the kernel has no shared zero page, saving and loading cost as much as the guest
 * may have.
 */
const guest = { memoryMiB: 512 }
/**
 * A VM's limits in tests, by its image. Emulated, `bare` takes a quarter less of the box's CPUs when it has one; Debian
 * does not.
 */
const guestOf = (image: ImageName) => (image === 'bare' ? { ...guest, cpus: 1 } : guest)
/** The ports of a test's Caddy. */
export const httpPort = 17_200 + slot
export const httpsPort = 17_300 + slot

const imageNames = ['debian', 'bare'] as const
export type ImageName = (typeof imageNames)[number]

export interface CroftOptions {
  env?: Record<string, string>
  /**
   * The built image to start with, which is also the default of `new`. `debian` is the product's. `bare` is the same
   * disk and kernel without systemd, for tests that are not about a guest's insides: it boots and accepts a login in a
   * quarter of the time. Default: `debian`, or none if `folder` is given.
   */
  image?: ImageName | false
  config?: { defaults?: Partial<Config['defaults']>; [setting: string]: unknown }
  /** Another folder of recipes. */
  recipes?: string
  /** An existing state folder to use instead of a new one. */
  folder?: string
  /** Changes the state before the daemon's first start. */
  state?: (state: State) => State
}

export class Croft implements AsyncDisposable {
  readonly folder: string
  readonly socket: string
  readonly port = port
  readonly #options: CroftOptions
  #child: ChildProcess | undefined
  #ended: Promise<unknown> = Promise.resolve()

  constructor(folder: string, options: CroftOptions) {
    this.folder = folder
    this.socket = join(folder, 'croft.sock')
    this.#options = options
  }

  get pid(): number {
    return this.#child!.pid!
  }

  get running(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null
  }

  /**
   * Starts the daemon and waits until it is ready.
   * @param env additional environment, and `settings` additional configuration, for this start only
   */
  async start(env: Record<string, string> = {}, settings: object = {}): Promise<void> {
    const config: Partial<Config> & object = {
      folder: this.folder,
      socket: this.socket,
      port,
      network: names,
      accelerator: 'tcg',
      spares: 0,
      // Tests that need a Caddy set `web`.
      web: false,
      // Tests that need a gateway set `ssh`.
      ssh: false,
      ...this.#options.config,
      ...settings,
      defaults: {
        image: this.#options.image || 'debian',
        sleepAfter: 0,
        dozeAfter: 0,
        ...guestOf(this.#options.image || 'debian'),
        ...this.#options.config?.defaults,
      },
    }
    await writeFile(join(this.folder, 'config.json'), JSON.stringify(config))
    const args = ['--max-semi-space-size=4', join(root, 'daemon/main.ts'), '--config', join(this.folder, 'config.json')]
    if (this.#options.recipes) args.push('--recipes', this.#options.recipes)
    const log = openSync(join(this.folder, 'log'), 'a')
    const child = spawn('setpriv', [...endsWithUs, join(root, 'node_modules/.bin/node'), ...args], {
      env: { ...process.env, NODE_COMPILE_CACHE: join(cache, 'compiled'), ...this.#options.env, ...env },
      stdio: ['ignore', 'pipe', log],
    })
    this.#child = child
    this.#ended = once(child, 'exit')
    const ready = Promise.withResolvers<void>()
    createInterface({ input: child.stdout! }).on('line', (line) => {
      void writeFile(join(this.folder, 'log'), `${line}\n`, { flag: 'a' })
      if (line.includes('"msg":"ready"')) ready.resolve()
    })
    await Promise.race([
      ready.promise,
      this.#ended.then(async ([code, signal]: any) => {
        throw new Error(`croftd ended (${code ?? signal}) before it was ready:\n${await this.log()}`)
      }),
    ])
  }

  log(): Promise<string> {
    return readFile(join(this.folder, 'log'), 'utf8').catch(() => '')
  }

  async state(): Promise<State> {
    return JSON.parse(await readFile(join(this.folder, 'state.json'), 'utf8'))
  }

  /** Resolves when the daemon has ended, by itself or by a signal. */
  get ended(): Promise<unknown> {
    return this.#ended
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    this.#child?.kill(signal)
    await this.#ended
  }

  /** Starts the daemon and waits until it has died at a fault point, by what it does on its own. */
  async startToDieAt(point: string): Promise<void> {
    await this.start({ CROFT_FAULT: point }).catch(() => {})
    await this.#ended
  }

  /** Starts the daemon so that it dies at a fault point, runs a command, and starts it normally when it has died. */
  async cutAt(point: string, ...args: string[]): Promise<Ended> {
    await this.kill('SIGTERM')
    await this.start({ CROFT_FAULT: point })
    const done = await this.run(args, { timeoutMs: 60_000 })
    await this.#ended
    await this.start()
    return done
  }

  /** Runs the croft command line. */
  run(
    args: readonly string[],
    options: { input?: string | Buffer; env?: Record<string, string>; timeoutMs?: number } = {},
  ): Promise<Ended> {
    return program(join(root, 'node_modules/.bin/node'), [join(root, 'daemon/cli.ts'), ...args], {
      timeoutMs: 400_000,
      ...options,
      env: { ...process.env, CROFT_SOCKET: this.socket, NODE_COMPILE_CACHE: join(cache, 'compiled'), ...options.env },
    })
  }

  /** Runs the croft command line, and presses Ctrl-C on its terminal after so many ms. */
  async interrupt(afterMs: number, args: readonly string[]): Promise<{ code: number | null; stderr: string }> {
    const child = spawn(join(root, 'node_modules/.bin/node'), [join(root, 'daemon/cli.ts'), ...args], {
      env: { ...process.env, CROFT_SOCKET: this.socket },
      stdio: ['ignore', 'ignore', 'pipe'],
      detached: true, // as a shell's job: the signal goes to its whole process group
    })
    const timer = setTimeout(() => process.kill(-child.pid!, 'SIGINT'), afterMs)
    const [stderr, [code]] = await Promise.all([text(child.stderr), once(child, 'close')])
    clearTimeout(timer)
    return { code, stderr }
  }

  /** Runs a command line that must succeed. @returns its standard output */
  async do(...args: string[]): Promise<string> {
    const ended = await this.run(args)
    if (ended.code === 0) return ended.stdout
    // Its folder will be gone by the time somebody reads this.
    const [, crashed] = /^(\S+) is crashed/m.exec(ended.stderr) ?? []
    const logs = crashed ? `\nIts console ends with:\n${(await this.run(['logs', crashed])).stdout.slice(-4000)}` : ''
    const network = ended.stderr.includes('No route to host') ? `\n${await this.#networkOf(args)}` : ''
    throw new Error(`croft ${args.join(' ')} ended with ${ended.code}: ${ended.stderr}${logs}${network}`)
  }

  /**
   * Runs a script in a VM that is awake, as its login user, by the guest agent, for tests that are not about the login.
   * A login takes an emulated guest that was just loaded two seconds and more.
   */
  async peek(vm: string, script: string): Promise<string> {
    const { id } = Object.values((await this.state()).vms).find(({ name }) => name === vm)!
    const call = async (_: string, command: object) => {
      const words = [
        '-q',
        '-c',
        'qemu:///system',
        'qemu-agent-command',
        '--timeout',
        '60',
        `croft-${id}`,
        JSON.stringify(command),
      ]
      return JSON.parse(await must('virsh', words)).return
    }
    const asUser = 'HOME=/home/dev USER=dev exec setpriv --reuid dev --regid dev --init-groups sh -s'
    const { code, stdout, stderr } = await runScript(call, id, `cd /home/dev\n${asUser} <<'PEEK'\n${script}\nPEEK\n`)
    if (code === 0) return stdout
    throw new Error(`In ${vm}, this ended with ${code}: ${script}\n${stderr}`)
  }

  /** The network state of the VMs named in a command line, as the guest reports it and as the box has it. */
  async #networkOf(args: readonly string[]): Promise<string> {
    const vms = Object.values((await this.state()).vms).filter(({ name }) => args.includes(name))
    const said = vms.map(async ({ id, ip }) => {
      const question = JSON.stringify({ execute: 'guest-network-get-interfaces' })
      const { stdout, stderr } = await program('virsh', ['qemu-agent-command', `croft-${id}`, question])
      const neighbour = await program('ip', ['neighbour', 'show', ip])
      const firewall = await program('nft', ['list', 'table', 'bridge', names.table])
      return [stdout, stderr, neighbour.stdout, firewall.stdout].join('\n')
    })
    return (await Promise.all(said)).join('\n')
  }

  /** `POST /api/commands/<name>` on the socket. */
  async call(name: string, args: object = {}): Promise<{ status: number; body: any }> {
    const { status, text } = await this.request({
      method: 'POST',
      path: `/api/commands/${name}`,
      body: JSON.stringify(args),
    })
    return { status, body: JSON.parse(text) }
  }

  /** Returns the result of a command that must succeed. */
  async ask(name: string, args: object = {}): Promise<any> {
    const { status, body } = await this.call(name, args)
    if (status !== 200) {
      const log = status === 500 ? `\nthe log's end:\n${(await this.log()).slice(-3000)}` : ''
      throw new Error(`${name}: ${status} ${JSON.stringify(body)}${log}`)
    }
    return body
  }

  request(options: {
    method?: string
    path: string
    headers?: Record<string, string>
    body?: string | Buffer
    tcp?: boolean
  }): Promise<{ status: number; headers: http.IncomingHttpHeaders; text: string }> {
    const where = options.tcp ? { host: '127.0.0.1', port } : { socketPath: this.socket }
    return new Promise((resolve, reject) => {
      const request = http.request(
        {
          ...where,
          method: options.method ?? 'GET',
          path: options.path,
          headers: { 'content-type': 'application/json', ...options.headers },
        },
        (response) => {
          const { statusCode = 0, headers } = response
          text(response).then((text) => resolve({ status: statusCode, headers, text }), reject)
        },
      )
      request.on('error', reject)
      request.end(options.body)
    })
  }

  /** Follows the events. `until` resolves with the first match, also one that arrived before the call. */
  async events(headers: Record<string, string> = {}): Promise<Events> {
    return Events.open(this.socket, headers, () => this.log())
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
    if (process.env.CROFT_TEST_KEEP) return
    await clean()
    const faults = (await this.log()).split('\n').filter((line) => line.includes(unforeseen))
    await rm(this.folder, { recursive: true, force: true })
    if (faults.length > 0) throw new Error(`The daemon met what it did not foresee:\n${faults.join('\n')}`)
  }
}

export class Events implements Disposable {
  readonly seen: any[] = []
  readonly #response: http.IncomingMessage
  readonly #log: () => Promise<string>
  #wake: () => void = () => {}

  static open(socketPath: string, headers: Record<string, string>, log: () => Promise<string>): Promise<Events> {
    return new Promise((resolve, reject) => {
      http
        .get({ socketPath, path: '/api/events', headers }, (response) => resolve(new Events(response, log)))
        .on('error', reject)
    })
  }

  private constructor(response: http.IncomingMessage, log: () => Promise<string>) {
    this.#response = response
    this.#log = log
    let event: any = {}
    const lines = createInterface({ input: response })
    // A daemon that is killed aborts the answer.
    for (const each of [response, lines]) each.on('error', () => {})
    lines.on('line', (line) => {
      const [, field, value = ''] = /^(\w+): ?(.*)$/.exec(line) ?? []
      if (field === 'data') event = { ...event, ...JSON.parse(value) }
      else if (field === 'event') event.event = value
      else if (field === 'id') event.id = value
      else if (line === '' && event.event) {
        this.seen.push(event)
        event = {}
        this.#wake()
      }
    })
  }

  async until(fits: (event: any) => boolean, timeoutMs = 60_000): Promise<any> {
    const late = AbortSignal.timeout(timeoutMs)
    for (let i = 0; ; ) {
      for (; i < this.seen.length; i++) if (fits(this.seen[i])) return this.seen[i]
      await new Promise<void>((resolve, reject) => {
        this.#wake = resolve
        late.addEventListener('abort', async () => {
          const seen = JSON.stringify(this.seen.slice(-10))
          reject(new Error(`no such event; seen: ${seen}\nthe log's end:\n${(await this.#log()).slice(-3000)}`))
        })
      })
    }
  }

  [Symbol.dispose](): void {
    this.#response.destroy()
  }
}

/** A running daemon for a test: `await using croft = await startCroft()`. */
export async function startCroft(options: CroftOptions = {}): Promise<Croft> {
  await clean()
  const folder = options.folder ?? (await mkdtemp(join(await ensured(cache), 'state-')))
  await program('chmod', ['711', cache, folder])
  const image = options.image ?? (options.folder ? false : 'debian')
  if (image) await borrowImage(folder, image)
  if (options.state) {
    const path = join(folder, 'state.json')
    await writeFile(path, JSON.stringify(options.state(JSON.parse(await readFile(path, 'utf8')))))
  }
  const croft = new Croft(folder, options)
  try {
    await croft.start()
  } catch (error) {
    await croft[Symbol.asyncDispose]()
    throw error
  }
  return croft
}

async function ensured(folder: string): Promise<string> {
  await mkdir(folder, { recursive: true, mode: 0o711 })
  return folder
}

/** Gives a new state folder the image that all tests share: its files (hard links where possible) and its records. */
async function borrowImage(folder: string, image: ImageName): Promise<void> {
  const base = await builtImage(image)
  for (const part of [
    'layers',
    'memory',
    'bases',
    ...(await readdir(join(base, 'images'))).map((id) => `images/${id}`),
  ]) {
    await mkdir(join(folder, part), { recursive: true, mode: 0o711 })
    for (const file of await readdir(join(base, part))) {
      const [from, to] = [join(base, part, file), join(folder, part, file)]
      const sparse = part === 'bases' ? '--sparse=never' : '--sparse=always'
      await link(from, to).catch(() => must('cp', ['--preserve=all', sparse, from, to]))
    }
  }
  const state: State = JSON.parse(await readFile(join(base, 'state.json'), 'utf8'))
  await writeFile(
    join(folder, 'state.json'),
    JSON.stringify({ ...state, instance: createHash('sha256').update(folder).digest('hex').slice(0, 16) }),
  )
}

/**
 * Returns a state folder with the image built from the current recipe. A croftd builds it once, and later runs reuse
 * it.
 */
export async function builtImage(name: ImageName): Promise<string> {
  const [base, ...others] = await Promise.all([name, ...imageNames].map(baseFolder))
  if (existsSync(join(base!, 'state.json'))) return base!
  for (const old of await readdir(await ensured(cache))) {
    const path = join(cache, old)
    if (old.startsWith('base-') && !others.includes(path)) await rm(path, { recursive: true, force: true })
  }
  await clean()
  const folder = await mkdtemp(join(cache, 'state-'))
  await program('chmod', ['711', cache, folder])
  const recipe = name === 'bare' ? { recipes, env: await madeFrom(await builtImage('debian')) } : {}
  const croft = new Croft(folder, { image: false, config: { defaults: guestOf(name) }, ...recipe })
  try {
    await croft.start()
    await croft.do('image', 'build', name)
    if (Object.keys((await croft.state()).checkpoints).length === 0) throw new Error(await croft.log())
  } finally {
    await croft.kill('SIGTERM')
    await clean()
  }
  await rename(folder, base!)
  return base!
}

/** Recipes of images that only tests use. */
const recipes = join(root, 'tests/images')

/** The environment by which the recipe of `bare` gets what it needs of the image `debian`. */
async function madeFrom(base: string): Promise<Record<string, string>> {
  const state: State = JSON.parse(await readFile(join(base, 'state.json'), 'utf8'))
  const [image] = Object.values(state.images)
  const { file } = state.layers[image!.layer]!
  const [ROOT, KERNEL, INITRD] = [file, image!.kernel, image!.initrd].map((path) => join(base, path))
  return { ROOT: ROOT!, KERNEL: KERNEL!, INITRD: INITRD!, CMDLINE: image!.cmdline }
}

/** Returns the folder of an image, named by everything that its content depends on. */
async function baseFolder(name: ImageName): Promise<string> {
  const hash = createHash('sha256').update(JSON.stringify(guestOf(name)))
  const folders = [join(root, 'images/debian'), ...(name === 'bare' ? [join(recipes, 'bare')] : [])]
  for (const folder of folders) {
    for (const file of (await readdir(folder, { recursive: true, withFileTypes: true }))
      .filter((entry) => entry.isFile())
      .sort((a, b) => (join(a.parentPath, a.name) < join(b.parentPath, b.name) ? -1 : 1))) {
      if (file.name.endsWith('.md')) continue
      hash.update(file.name).update(await readFile(join(file.parentPath, file.name)))
    }
  }
  // Its records, and what its golden checkpoint depends on.
  for (const file of [
    ...['image', 'layer', 'state', 'vm'].map((noun) => `store/schema/${noun}.ts`),
    'core/image/golden.ts',
    'core/memory-base/make.ts',
    'core/memory-base/prove.ts',
    'adapters/libvirt/domain-xml.ts',
    'adapters/libvirt/memory/base-file.ts',
    'adapters/libvirt/memory/map-base.c',
    'adapters/libvirt/memory/stream-filter.ts',
    'adapters/guest/personalize.ts',
  ]) {
    hash.update(await readFile(join(root, 'daemon', file)))
  }
  return join(cache, `base-${name}-${hash.digest('hex').slice(0, 16)}`)
}

/**
 * Removes what a test may have left behind, also one killed in an earlier run: our domains with their logs, network,
 * tables.
 */
export async function clean(): Promise<void> {
  const virsh = (...args: string[]) => program('virsh', ['-q', '-c', 'qemu:///system', ...args])
  // There may be a thousand, so each virsh handles many.
  const many = (lines: readonly string[]) =>
    program('virsh', ['-q', '-c', 'qemu:///system'], { input: `${lines.join('\n')}\n`, timeoutMs: 200_000 })
  const domains = (await virsh('list', '--all', '--name')).stdout
    .split('\n')
    .filter((name) => name.startsWith('croft-vm_'))
  const ours: string[] = []
  for (let i = 0; i < domains.length; i += 50) {
    const { stdout } = await many(domains.slice(i, i + 50).map((domain) => `dumpxml ${domain}`))
    for (const xml of stdout.split('</domain>'))
      if (xml.includes(`<source network='${names.name}'`)) ours.push(/<name>(croft-vm_[^<]+)<\/name>/.exec(xml)![1]!)
  }
  if (ours.length > 0) await many(ours.flatMap((domain) => [`destroy ${domain}`, `undefine ${domain} --managed-save`]))
  for (const domain of ours) await rm(`/var/log/libvirt/qemu/${domain}.log`, { force: true })
  await virsh('net-destroy', names.name)
  await virsh('net-undefine', names.name)
  // Left by a run that was killed between the two.
  await program('ip', ['link', 'delete', names.bridge])
  for (const family of ['bridge', 'inet']) {
    await program('nft', ['-f', '-'], {
      input: `table ${family} ${names.table}\ndelete table ${family} ${names.table}\n`,
    })
  }
}

export { cp, must, program }
