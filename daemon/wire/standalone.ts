import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, chown, mkdir, rm } from 'node:fs/promises'
import { createConnection, type NetConnectOpts } from 'node:net'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { SshConfig } from '../config.ts'
import { caddyUser, groupId, userId } from '../lib/accounts.ts'
import { CroftError } from '../lib/error.ts'
import { runProgram } from '../lib/run.ts'
import { lean, reachedFromBox } from './gateway-process.ts'

interface Service {
  name: string
  /** Program and arguments. */
  command: readonly [string, ...string[]]
  /** Answers here when it is up. */
  at: NetConnectOpts
  /** Outlives the daemon. */
  stays?: boolean
  env?: NodeJS.ProcessEnv
  /** What it reads. What it says then goes where the daemon's own words go. */
  input?: string
  /** Done before each start. */
  prepare?(): Promise<void>
}

const services: readonly Service[] = [
  // It writes the consoles of running VMs; without it they would be mute until their next start.
  { name: 'virtlogd', command: ['virtlogd'], at: { path: '/run/libvirt/virtlogd-sock' }, stays: true },
  { name: 'libvirtd', command: ['libvirtd'], at: { path: '/run/libvirt/libvirt-sock' } },
]

/** What of Caddy differs between boxes. */
export interface CaddyPlace {
  /** Path of the unix socket of its admin API. */
  admin: string
  /** The group that it runs with. */
  group: string
  /** The state folder; Caddy's own is in it. */
  folder: string
  /** The configuration that it begins with. */
  start: object
}

const bind = '-all,+net_bind_service'

/** Caddy as packaging/croft-caddy.service has it: a user of its own, with no right of root's but to bind any port. */
function caddyService({ admin, group, folder, start }: CaddyPlace): Service {
  const asUser = ['--reuid', caddyUser, '--regid', group, '--init-groups', '--no-new-privs']
  const rights = [`--inh-caps=${bind}`, `--ambient-caps=${bind}`, `--bounding-set=${bind}`]
  const data = join(folder, 'caddy')
  return {
    name: 'caddy',
    command: ['setpriv', ...asUser, ...rights, 'caddy', 'run', '--config', '-'],
    at: { path: admin },
    env: { PATH: process.env.PATH, HOME: data, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: join(data, 'config') },
    input: JSON.stringify(start),
    async prepare() {
      const [uid, gid] = await Promise.all([userId(caddyUser), groupId(group)])
      if (uid === undefined) throw new Error(`there is no user ${caddyUser}: install.sh makes it`)
      await mkdir(data, { recursive: true, mode: 0o700 })
      await chown(data, uid, gid)
      if (await mkdir(dirname(admin), { recursive: true, mode: 0o750 })) await chown(dirname(admin), uid, gid)
      await rm(admin, { force: true })
    },
  }
}

/** What of the SSH gateway differs between boxes. */
export interface GatewayPlace extends SshConfig {
  /** Its program, and the file that has the configuration. */
  program: string
  config: string
  /** What it reads at its start, made by the daemon. */
  keys: readonly string[]
}

/** The gateway as packaging/croft-ssh.service has it: a user of its own, with no right of root's, who stays when the daemon ends. */
function gatewayService({ port, address, user, program, config, keys }: GatewayPlace): Service {
  const asUser = [
    '--reuid',
    user,
    '--regid',
    user,
    '--init-groups',
    '--no-new-privs',
    '--inh-caps=-all',
    '--bounding-set=-all',
  ]
  return {
    name: 'croft-ssh',
    command: ['setpriv', ...asUser, process.execPath, ...lean.flags, program, '--config', config],
    at: { port, host: reachedFromBox(address) },
    stays: true,
    env: { PATH: process.env.PATH, HOME: '/nonexistent', ...lean.env },
    input: '',
    async prepare() {
      if ((await userId(user)) === undefined) throw new Error(`there is no user ${user}: install.sh makes it`)
      for (const key of keys) if (!existsSync(key)) throw new Error(`${key} is not made yet`)
    },
  }
}

/**
 * Without systemd, croftd itself starts what it drives and starts it again when it ends. A service that runs already
 * is used as it is, and taken over when it ends. VMs outlive all of them. Caddy and the SSH gateway are not waited for: VMs do without.
 * @param caddy where it is, if there is to be one; the same for `gateway`
 * @returns a function that ends the services that were started here, but for virtlogd and the gateway
 */
export async function superviseServices(
  log: Logger,
  caddy: CaddyPlace | undefined,
  gateway: GatewayPlace | undefined,
): Promise<() => Promise<void>> {
  await openKvm(log)
  const stop = new AbortController()
  const children = new Map<string, ChildProcess>()
  for (const service of services) {
    keepRunning(service)
    await answering(service, stop.signal)
  }
  if (caddy) keepRunning(caddyService(caddy))
  if (gateway) keepRunning(gatewayService(gateway))

  function keepRunning(service: Service): void {
    const { name } = service
    const watch = async () => {
      for (let pause = 200; !stop.signal.aborted; pause = Math.min(pause * 2, 10_000)) {
        if (!(await answers(service.at))) {
          log.info({ service: name }, 'starting a service')
          const began = performance.now()
          const how = await start(service).catch((error: Error) => error.message)
          if (stop.signal.aborted) return
          log.warn({ service: name, how }, 'a service ended')
          if (performance.now() - began > 10_000) pause = 200
        }
        await delay(pause, undefined, { signal: stop.signal }).catch(() => {})
      }
    }
    watch().catch((err) => log.error({ err, service: name }, 'can no longer watch a service'))
  }

  /** @returns how it ended: its exit code, or its signal */
  async function start(service: Service): Promise<number | string> {
    const { name, input, env, stays } = service
    const [program, ...args] = service.command
    await service.prepare?.()
    const said = input === undefined ? 'ignore' : 'inherit'
    const child = spawn(program, args, {
      stdio: [input === undefined ? 'ignore' : 'pipe', said, said],
      detached: stays,
      env: env ?? process.env,
    })
    if (!stays) children.set(name, child)
    child.stdin?.on('error', () => {}) // it ended before it had read all
    child.stdin?.end(input)
    try {
      return await new Promise((resolve, reject) => {
        child.once('exit', (code, signal) => resolve(code ?? signal ?? 'unknown'))
        child.once('error', reject)
      })
    } finally {
      children.delete(name)
    }
  }

  return async () => {
    stop.abort()
    const ends = [...children.values()].map((child) => new Promise((resolve) => child.once('exit', resolve)))
    for (const child of children.values()) child.kill('SIGTERM')
    await Promise.race([Promise.all(ends), delay(5000, undefined, { ref: false })])
  }
}

/**
 * Gives QEMU's group the KVM device, as udev does where there is one. Without that libvirt finds KVM when it asks QEMU
 * as root and misses it later, and asks again at every call, for seconds each time.
 */
async function openKvm(log: Logger): Promise<void> {
  if (!existsSync('/dev/kvm') || existsSync('/run/udev/control')) return
  try {
    await runProgram('chgrp', ['kvm', '/dev/kvm'])
    await chmod('/dev/kvm', 0o660)
  } catch (err) {
    log.warn({ err }, '/dev/kvm keeps its owner')
  }
}

async function answering({ name, at }: Service, signal: AbortSignal): Promise<void> {
  for (let waited = 0; waited < 20_000 && !signal.aborted; waited += 50) {
    if (await answers(at)) return
    await delay(50)
  }
  throw new CroftError('unavailable', `${name} does not come up.`, {
    hint: `Start it by hand to see why: ${name}`,
  })
}

function answers(at: NetConnectOpts): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = createConnection(at)
    connection.once('connect', () => {
      connection.destroy()
      resolve(true)
    })
    connection.once('error', () => resolve(false))
  })
}
