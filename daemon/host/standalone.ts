import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod } from 'node:fs/promises'
import { createConnection } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from 'pino'
import { CroftError } from '../error.ts'
import { run } from './run.ts'

interface Service {
  program: string
  args: readonly string[]
  /** Answers here when it is up. */
  socket: string
  /** Outlives the daemon. */
  stays?: boolean
}

const services: readonly Service[] = [
  // It writes the consoles of running VMs; without it they would be mute until their next start.
  { program: 'virtlogd', args: [], socket: '/run/libvirt/virtlogd-sock', stays: true },
  { program: 'libvirtd', args: [], socket: '/run/libvirt/libvirt-sock' },
]

/**
 * Without systemd, croftd itself starts what it drives and starts it again when it ends. A service that runs already
 * is used as it is, and taken over when it ends. VMs outlive all of them.
 * @returns a function that ends the services that were started here, but for virtlogd
 */
export async function superviseServices(log: Logger): Promise<() => Promise<void>> {
  await openKvm(log)
  const stop = new AbortController()
  const children = new Map<string, ChildProcess>()
  for (const service of services) {
    keepRunning(service)
    await answering(service, stop.signal)
  }

  function keepRunning(service: Service): void {
    const watch = async () => {
      for (let pause = 200; !stop.signal.aborted; pause = Math.min(pause * 2, 10_000)) {
        if (!(await answers(service.socket))) {
          log.info({ service: service.program }, 'starting a service')
          const child = spawn(service.program, service.args, { stdio: 'ignore', detached: service.stays })
          if (!service.stays) children.set(service.program, child)
          const began = Date.now()
          const [code] = await new Promise<unknown[]>((resolve) => {
            child.once('exit', (...how) => resolve(how))
            child.once('error', (error) => resolve([error.message]))
          })
          children.delete(service.program)
          if (stop.signal.aborted) return
          log.warn({ service: service.program, code }, 'a service ended')
          if (Date.now() - began > 10_000) pause = 200
        }
        await delay(pause, undefined, { signal: stop.signal }).catch(() => {})
      }
    }
    watch().catch((err) => log.error({ err, service: service.program }, 'can no longer watch a service'))
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

async function answering({ program, socket }: Service, signal: AbortSignal): Promise<void> {
  for (let waited = 0; waited < 20_000 && !signal.aborted; waited += 50) {
    if (await answers(socket)) return
    await delay(50)
  }
  throw new CroftError('unavailable', `${program} does not come up.`, {
    hint: `Start it by hand to see why: ${program}`,
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
