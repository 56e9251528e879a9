import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, chown, mkdir, rm } from 'node:fs/promises'
import { createConnection } from 'node:net'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from 'pino'
import { CroftError } from '../error.ts'
import { caddyUser, groupId, userId } from './accounts.ts'
import { run } from './run.ts'

interface Service {
  name: string
  /** Program and arguments. */
  command: readonly [string, ...string[]]
  /** Answers here when it is up. */
  socket: string
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
  { name: 'virtlogd', command: ['virtlogd'], socket: '/run/libvirt/virtlogd-sock', stays: true },
  { name: 'libvirtd', command: ['libvirtd'], socket: '/run/libvirt/libvirt-sock' },
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
    socket: admin,
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

/**
 * Without systemd, croftd itself starts what it drives and starts it again when it ends. A service that runs already
 * is used as it is, and taken over when it ends. VMs outlive all of them. Caddy is not waited for: VMs do without it.
 * @param caddy where it is, if there is to be one
 * @returns a function that ends the services that were started here, but for virtlogd
 */
export async function superviseServices(log: Logger, caddy: CaddyPlace | undefined): Promise<() => Promise<void>> {
  await openKvm(log)
  const stop = new AbortController()
  const children = new Map<string, ChildProcess>()
  for (const service of services) {
    keepRunning(service)
    await answering(service, stop.signal)
  }
  if (caddy) keepRunning(caddyService(caddy))

  function keepRunning(service: Service): void {
    const { name } = service
    const watch = async () => {
      for (let pause = 200; !stop.signal.aborted; pause = Math.min(pause * 2, 10_000)) {
        if (!(await answers(service.socket))) {
          log.info({ service: name }, 'starting a service')
          const began = Date.now()
          const how = await start(service).catch((error: Error) => error.message)
          if (stop.signal.aborted) return
          log.warn({ service: name, how }, 'a service ended')
          if (Date.now() - began > 10_000) pause = 200
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
    await run('chgrp', ['kvm', '/dev/kvm'])
    await chmod('/dev/kvm', 0o660)
  } catch (err) {
    log.warn({ err }, '/dev/kvm keeps its owner')
  }
}

async function answering({ name, socket }: Service, signal: AbortSignal): Promise<void> {
  for (let waited = 0; waited < 20_000 && !signal.aborted; waited += 50) {
    if (await answers(socket)) return
    await delay(50)
  }
  throw new CroftError('unavailable', `${name} does not come up.`, {
    hint: `Start it by hand to see why: ${name}`,
  })
}

function answers(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = createConnection(socket)
    connection.once('connect', () => {
      connection.destroy()
      resolve(true)
    })
    connection.once('error', () => resolve(false))
  })
}
