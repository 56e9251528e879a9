import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { vi } from 'vitest'
import { type Libvirt, type LibvirtEvent, openLibvirt } from '../../daemon/adapters/libvirt/index.ts'

/** Whether a process exists and is not a zombie. */
export function isRunning(pid: number | undefined): boolean {
  try {
    return !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, 'latin1'))
  } catch {
    return false
  }
}

/** Waits until `check` is true, and returns how long that took, in ms. */
export async function until(check: () => boolean, timeoutMs = 10_000): Promise<number> {
  const start = performance.now()
  await vi.waitUntil(check, { timeout: timeoutMs, interval: 5 })
  return performance.now() - start
}

/** Collects all events from now on, and waits for the first match. */
export function hear(libvirt: Libvirt, only: (event: LibvirtEvent) => boolean = () => true) {
  const events: LibvirtEvent[] = []
  const stop = libvirt.onEvent((event) => {
    if (only(event)) events.push(event)
  })
  const next = async (fits: (event: LibvirtEvent) => boolean, timeoutMs = 20_000) => {
    await until(() => events.some(fits), timeoutMs)
    return events.find(fits)!
  }
  return { events, next, stop }
}

const nobody = 65_534

/** A libvirtd of our own, with its test driver behind a socket, so that it can be stopped and killed. */
export class PrivateLibvirtd {
  readonly #folder = mkdtempSync(join(tmpdir(), 'croft-itest-libvirtd-'))
  readonly uri = `test+unix:///default?socket=${join(this.#folder, 'libvirt-sock')}`
  #process: ChildProcess | undefined

  async start(): Promise<void> {
    const folder = this.#folder
    chownSync(folder, nobody, nobody)
    const config = join(folder, 'libvirtd.conf')
    writeFileSync(config, `unix_sock_dir = "${folder}"\nauth_unix_rw = "none"\nlog_outputs = "4:stderr"\n`)
    // Not root: as root it would be the system's libvirtd, with its locks and its domains.
    this.#process = spawn('/usr/sbin/libvirtd', ['-f', config, '-p', join(folder, 'pid')], {
      uid: nobody,
      gid: nobody,
      stdio: 'ignore',
      env: {
        PATH: process.env.PATH,
        HOME: folder,
        XDG_RUNTIME_DIR: folder,
        XDG_CONFIG_HOME: folder,
        XDG_CACHE_HOME: folder,
        XDG_DATA_HOME: folder,
      },
    })
    await until(() => existsSync(join(folder, 'libvirt-sock')))
  }

  signal(name: 'SIGSTOP' | 'SIGCONT'): void {
    this.#process?.kill(name)
  }

  async kill(): Promise<void> {
    const process = this.#process
    this.#process = undefined
    if (!process || process.exitCode !== null) return
    process.kill('SIGKILL')
    await once(process, 'exit')
    rmSync(join(this.#folder, 'libvirt-sock'), { force: true })
  }

  async remove(): Promise<void> {
    await this.kill()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

/** A domain that never gets beyond its firmware, which writes to a serial port. @param disk its only disk, if any */
export const tinyDomain = (name: string, disk?: string): string => `
<domain type='qemu'>
  <name>croft-itest-${name}</name>
  <memory unit='MiB'>32</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type><bios useserial='yes'/></os>
  <features><acpi/><tcg><tb-cache unit='MiB'>16</tb-cache></tcg></features>
  <devices>
    ${disk ? `<disk type='file'><driver name='qemu' type='qcow2'/><source file='${disk}'/><target dev='vda' bus='virtio'/></disk>` : ''}
    <serial type='pty'/>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    <memballoon model='virtio'/>
  </devices>
</domain>`

/** Opens the box's libvirt, and removes what a killed run of these tests has left. */
export async function openForTinyDomains(): Promise<Libvirt> {
  const libvirt = openLibvirt({ uri: 'qemu:///system' })
  await hear(libvirt).next(({ type }) => type === 'connected')
  await removeTinyDomains(libvirt)
  return libvirt
}

/** Removes every domain of these tests, running or not. */
export async function removeTinyDomains(libvirt: Libvirt): Promise<void> {
  for (const { uuid, name, state } of await libvirt.call.domainList()) {
    if (!name.startsWith('croft-itest-')) continue
    if (state !== 'shut-off') await libvirt.call.domainDestroy(uuid)
    await libvirt.call.domainUndefine(uuid, 1) // with its managed save, if any
  }
}

/** The process of a domain of these tests, so that it can be made to hang. */
export function qemuPid(name: string): number {
  const pid = Number(readFileSync(`/run/libvirt/qemu/croft-itest-${name}.pid`, 'latin1'))
  if (!readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(`guest=croft-itest-${name},`)) {
    throw new Error(`process ${pid} is not the domain croft-itest-${name}`)
  }
  return pid
}
