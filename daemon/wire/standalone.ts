import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, chown, mkdir, rm } from 'node:fs/promises'
import { createConnection, type NetConnectOpts } from 'node:net'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { SshConfig } from '../config.ts'
import { CroftError } from '../lib/error.ts'
import { caddyUser, groupId, userId } from '../lib/process/accounts.ts'
import { runProgram } from '../lib/process/run.ts'
import { reachedFromBox } from '../lib/text/addresses.ts'
import { lean } from './gateway-process.ts'

interface Service {
  name: string
  /** Program and arguments. */
  command: readonly [string, ...string[]]
  /** Where it accepts connections when it is up. */
  at: NetConnectOpts
  /** Whether it outlives the daemon. */
  stays?: boolean
  env?: NodeJS.ProcessEnv
  /** Its standard input. If set, its output goes where the daemon's goes. */
  input?: string
  /** Called before each start. */
  prepare?(): Promise<void>
}

const services: readonly Service[] = [
  // It writes the console logs of running VMs; if it ended, they would have none until their next start.
  { name: 'virtlogd', command: ['virtlogd'], at: { path: '/run/libvirt/virtlogd-sock' }, stays: true },
  { name: 'libvirtd', command: ['libvirtd'], at: { path: '/run/libvirt/libvirt-sock' } },
]

/** What differs between the Caddys of different boxes. */
export interface CaddyPlace {
  /** Path of the unix socket of its admin API. */
  admin: string
  /** The group that it runs as. */
  group: string
  /** The state folder; Caddy's data folder is in it. */
  folder: string
  /** The configuration that it starts with. */
  start: object
}

const bind = '-all,+net_bind_service'

/** Caddy as in packaging/croft-caddy.service: a user of its own, with no capability except to bind any port. */
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
      if (uid === undefined) throw new Error(`there is no user ${caddyUser}: install.sh creates it`)
      await mkdir(data, { recursive: true, mode: 0o700 })
      await chown(data, uid, gid)
      if (await mkdir(dirname(admin), { recursive: true, mode: 0o750 })) await chown(dirname(admin), uid, gid)
      await rm(admin, { force: true })
    },
  }
}

/** What differs between the SSH gateways of different boxes. */
export interface GatewayPlace extends SshConfig {
  /** Its program, and the configuration file. */
  program: string
  config: string
  /** The keys that it reads when it starts; the daemon makes them. */
  keys: readonly string[]
}

/**
 * The gateway as in packaging/croft-ssh.service: a user of its own without capabilities; it stays when the daemon ends.
 */
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
      if ((await userId(user)) === undefined) throw new Error(`there is no user ${user}: install.sh creates it`)
      for (const key of keys) if (!existsSync(key)) throw new Error(`${key} is not made yet`)
    },
  }
}

/**
 * Supervises the services that croftd needs, on a box without systemd: starts each, and restarts it when it ends. A
 * service that already runs is used as it is, and taken over when it ends. VMs outlive all of them. It does not wait
 * for Caddy and the SSH gateway, which VMs can do without.
 * @param caddy undefined for no Caddy @param gateway undefined for no SSH gateway
 * @returns a function that ends the services started here, except virtlogd and the gateway
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

  /** Runs a service until it ends. @returns its exit code, or the signal that ended it */
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
    child.stdin?.on('error', () => {}) // it ended before it had read everything
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
 * Gives the KVM device to QEMU's group, as udev does on other boxes. Otherwise libvirt finds KVM when it probes QEMU as
 * root and misses it later, and probes again at every call, which takes seconds each time.
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
  throw new CroftError('unavailable', `${name} did not start.`, {
    hint: `To see why, start it by hand: ${name}`,
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
