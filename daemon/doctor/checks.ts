import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { readSwap } from '../adapters/kernel/load.ts'
import type { Firewall } from '../adapters/network/firewall.ts'
import { type Box, stateOf, vmsOf } from '../core/box.ts'
import type { Check } from '../core/interfaces/check.ts'
import { standings } from '../core/interfaces/governor.ts'
import type { Host } from '../core/interfaces/host.ts'
import type { HostUsage } from '../core/interfaces/metrics.ts'
import { chainOf } from '../core/layer/compaction-plan.ts'
import { diskForecast, type Forecast, forecastInWords } from '../core/layer/forecast.ts'
import type { VmState } from '../core/vm/state.ts'
import { reachedFromBox } from '../lib/text/addresses.ts'
import { bytes } from '../lib/text/units.ts'
import type { Accelerator, Vm } from '../store/index.ts'
import { checkBackups } from './check-backups.ts'
import { checkMemoryLayers } from './check-memory-layers.ts'
import { checkQemu } from './check-qemu.ts'
import { checkSharing } from './check-sharing.ts'
import { described, holdersOf, otherListeners } from './web-ports.ts'

export interface CheckParts {
  box: Box
  /** The state folder. */
  folder: string
  firewall: Firewall
  /** Probes the accelerator again; undefined while there is no image to try it with. */
  probe(): Promise<Accelerator | undefined>
  usage(): Promise<HostUsage>
  /** Where the SSH gateway listens; false when there is none. */
  ssh: { port: number; address: string } | false
  history: Host['history']
  /** Undefined when the box has no web addresses. */
  web:
    | {
        /** Makes Caddy run Croft's configuration. @throws CroftError */
        keep(): Promise<void>
        /** The ports that Caddy listens on. */
        ports: readonly number[]
        /** The address of VMs, as it is shown to people. */
        address: string
      }
    | undefined
}

/** A disk that is forecast to be full within this time is worth a look. */
const soonMs = 7 * 86_400_000

/** Runs all checks of `croft doctor`, each on its own: a check that fails says so and stops no other. */
export async function checkBox(parts: CheckParts): Promise<Check[]> {
  const checks = [
    libvirt,
    accelerator,
    qemu,
    image,
    firewall,
    confinement,
    forwarding,
    web,
    ssh,
    disk,
    checkBackups,
    memory,
    memoryLayers,
    swap,
    sharing,
    standstill,
    files,
    operations,
  ]
  const found = await Promise.all(
    checks.map((check) =>
      check(parts).catch(
        (error): Check => ({ what: check.name, state: 'look', says: `this check failed: ${error.message}` }),
      ),
    ),
  )
  return found.filter((each) => each !== undefined)
}

async function libvirt({ box }: CheckParts): Promise<Check> {
  const trouble = box.hypervisor.trouble()
  if (!trouble) return { what: 'libvirt', state: 'fine', says: 'answers' }
  return { what: 'libvirt', state: 'wrong', says: trouble, advice: 'systemctl status libvirtd; journalctl -u libvirtd' }
}

async function accelerator({ probe }: CheckParts): Promise<Check> {
  const found = await probe()
  if (!found)
    return {
      what: 'accelerator',
      state: 'look',
      says: 'not tried yet: this needs an image',
      advice: 'croft image build debian',
    }
  if (found.kind === 'kvm') return { what: 'accelerator', state: 'fine', says: `KVM: ${found.why}` }
  return {
    what: 'accelerator',
    state: 'look',
    says: `none: VMs are emulated, which is many times slower (${found.why})`,
    advice: 'If the box is your own hardware, turn on virtualization in its firmware, then run: croft doctor',
  }
}

async function image({ box }: CheckParts): Promise<Check> {
  const { image: name } = box.settings.defaults
  const current = Object.values(box.store.state.images).find((each) => each.current && each.name === name)
  if (current) return { what: 'image', state: 'fine', says: `${name} ${current.version}` }
  return {
    what: 'image',
    state: 'wrong',
    says: `there is no image called ${name}`,
    advice: `croft image build ${name}`,
  }
}

async function firewall({ box, firewall }: CheckParts): Promise<Check> {
  if (await firewall.standing())
    return { what: 'firewall', state: 'fine', says: 'keeps VMs apart from each other and from the box' }
  await box.network.restore()
  return {
    what: 'firewall',
    state: 'look',
    says: 'had been removed; Croft restored it',
    advice: 'Find out what else on this box flushes nftables.',
  }
}

/**
 * All QEMUs run as one user: only a security module of the kernel keeps a guest that breaks out from other VMs' disks.
 */
async function confinement({ box }: CheckParts): Promise<Check> {
  const what = 'confinement'
  const by = await box.hypervisor.confinement()
  if (by === 'apparmor') return { what, state: 'fine', says: 'AppArmor confines the QEMU of each VM to its own files' }
  if (by === 'selinux') return { what, state: 'fine', says: 'SELinux confines the QEMU of each VM to its own files' }
  return {
    what,
    state: 'look',
    says: 'none: a guest that breaks out of its QEMU can read and write the disks of other VMs',
    advice:
      'If the kernel has AppArmor: apt-get install apparmor; systemctl restart libvirtd. VMs are confined from their next start.',
  }
}

async function forwarding({ box }: CheckParts): Promise<Check> {
  if (!(await box.network.look()))
    return {
      what: 'network',
      state: 'look',
      says: 'had been removed; Croft restored it',
      advice: 'Find out what else on this box stops libvirt’s networks or deletes bridges.',
    }
  const on = (await readFile('/proc/sys/net/ipv4/ip_forward', 'utf8')).trim() === '1'
  if (on) return { what: 'network', state: 'fine', says: 'VMs can reach the outside' }
  return {
    what: 'network',
    state: 'wrong',
    says: 'the kernel does not forward packets, so VMs can’t reach the outside',
    advice: 'sysctl -w net.ipv4.ip_forward=1',
  }
}

async function web({ web }: CheckParts): Promise<Check | undefined> {
  if (!web) return undefined
  const { keep, ports, address } = web
  const what = 'web'
  try {
    await keep()
    return { what, state: 'fine', says: `Caddy serves ${address}` }
  } catch (error) {
    const holders = holdersOf(ports, await otherListeners())
    if (holders.length > 0) {
      const says = holders.map(described).join('; ')
      return { what, state: 'wrong', says, advice: 'Free the port, or run install.sh again: it chooses another.' }
    }
    const advice = 'systemctl status croft-caddy; journalctl -u croft-caddy'
    return { what, state: 'wrong', says: error instanceof Error ? error.message : String(error), advice }
  }
}

async function ssh({ ssh }: CheckParts): Promise<Check | undefined> {
  if (!ssh) return undefined
  const what = 'ssh'
  const { port, address } = ssh
  const answer = await bannerOf(port, reachedFromBox(address)).catch((error: Error) => error)
  if (answer instanceof Error)
    return {
      what,
      state: 'wrong',
      says: `nothing answers on port ${port}: ${answer.message}`,
      advice: 'systemctl status croft-ssh; journalctl -u croft-ssh',
    }
  if (/^SSH-2\.0-Croft\b/.test(answer)) return { what, state: 'fine', says: `the gateway answers on port ${port}` }
  return {
    what,
    state: 'wrong',
    says: `another program answers on port ${port}`,
    advice: 'Free the port, or run install.sh again: it chooses another.',
  }
}

/**
 * Returns the first data that the server on this port sends within 5 s: an SSH server's version line, or something
 * else.
 */
async function bannerOf(port: number, address: string): Promise<string> {
  const socket = connect({ port, host: address, timeout: 5_000 })
  socket.once('timeout', () => socket.destroy(new Error('no answer within 5 s')))
  try {
    const [first] = (await Promise.race([
      once(socket, 'data'),
      once(socket, 'end').then(() => Promise.reject(new Error('it closed the connection'))),
    ])) as [Buffer]
    return first.toString('latin1')
  } finally {
    socket.destroy()
  }
}

/** Has this name because a check that fails is reported by the name of its function. */
const disk = (parts: CheckParts): Promise<Check> => lookAtDisk(parts)

export async function lookAtDisk({ usage, history }: Pick<CheckParts, 'usage' | 'history'>): Promise<Check> {
  const now = new Date()
  const found = await usage()
  return checkDisk(found, await diskForecast(history, found.diskFreeBytes, now), now)
}

/** Pure. */
export function checkDisk(
  { diskFreeBytes, diskTotalBytes }: Pick<HostUsage, 'diskFreeBytes' | 'diskTotalBytes'>,
  forecast: Forecast | null,
  now: Date,
): Check {
  const soon = forecast && Date.parse(forecast.fullAt) < now.getTime() + soonMs ? forecast : undefined
  const free = `${bytes(diskFreeBytes)} of ${bytes(diskTotalBytes)} free`
  const says = soon ? `${free}; ${forecastInWords(soon, now)}` : free
  if (!soon && diskFreeBytes > diskTotalBytes / 10) return { what: 'disk', state: 'fine', says }
  return {
    what: 'disk',
    state: diskFreeBytes > 2 ** 30 ? 'look' : 'wrong',
    says,
    advice: 'See what uses it, and what can be deleted: croft box df',
  }
}

async function memory({ box, usage }: CheckParts): Promise<Check> {
  const { memoryTotalBytes, memoryUsedBytes } = await usage()
  const { level, reason: left } = box.governor.now()
  const used = `${bytes(memoryUsedBytes)} of ${bytes(memoryTotalBytes)} used`
  const does = standings[level]
  if (does === undefined) return { what: 'memory', state: 'fine', says: used }
  return {
    what: 'memory',
    state: level === 'none' ? 'wrong' : 'look',
    says: `${used}; ${does} (${left})`,
    advice: 'See which VMs use most, and put to sleep or stop those you don’t need: croft top --sort memory',
  }
}

const sharing = ({ box, folder }: CheckParts): Promise<Check> => checkSharing(box, folder)

const qemu = ({ box }: CheckParts): Promise<Check | undefined> => checkQemu(box)

const memoryLayers = ({ box }: CheckParts): Promise<Check> => checkMemoryLayers(box)

async function swap(): Promise<Check> {
  return checkSwap(await readSwap())
}

/** A box without swap is fine too: the governor makes room. Pure. */
export function checkSwap({ total, used }: { total: number; used: number }): Check {
  const what = 'swap'
  if (total > 0) return { what, state: 'fine', says: `${bytes(used)} of ${bytes(total)} used` }
  return { what, state: 'fine', says: 'none; to add some as a cushion: sudo /opt/croft/install.sh --swap zram' }
}

/** Names each VM that is paused or has crashed. */
async function standstill({ box }: CheckParts): Promise<Check> {
  const what = 'VMs'
  const those = (state: VmState) => vmsOf(box.store.state).filter((vm) => stateOf(box, vm) === state)
  const [paused, crashed] = [those('paused'), those('crashed')]
  const fallen = crashed.map(({ name }) => name).join(', ')
  if (paused.length === 0 && crashed.length > 0)
    return {
      what,
      state: 'look',
      says: `crashed: ${fallen}`,
      advice: `See why: croft show ${crashed[0]!.name}. To have it restarted after a crash: croft resize ${crashed[0]!.name} --restart on-crash`,
    }
  if (paused.length === 0) return { what, state: 'fine', says: 'none is paused or has crashed' }
  const why = (vm: Vm) =>
    box.live.get(vm.uuid)?.reason === 'io-error' ? 'the box’s disk was full' : box.live.get(vm.uuid)?.reason
  return {
    what,
    state: 'wrong',
    says: `paused: ${paused.map((vm) => `${vm.name} (${why(vm) ?? 'reason unknown'})`).join(', ')}${fallen && `; crashed: ${fallen}`}`,
    advice: `To resume one: croft start ${paused[0]!.name}`,
  }
}

/** Finds missing files before anybody needs their VM. */
async function files({ box }: CheckParts): Promise<Check | undefined> {
  const { state } = box.store
  const needed = (vm: Vm) =>
    [...chainOf(state, vm.disk).map((id) => state.layers[id]), state.memories[vm.memory ?? '']].flatMap(
      (each) => each?.file ?? [],
    )
  const gone = await Promise.all(
    vmsOf(state).map(async (vm) => {
      const all = needed(vm)
      const there = await Promise.all(all.map((file) => box.files.exists(file)))
      const lost = all.filter((_, i) => !there[i])
      return lost.length > 0 ? { name: vm.name, lost } : []
    }),
  )
  const [first, ...more] = gone.flat()
  if (!first) return undefined
  return {
    what: 'files',
    state: 'wrong',
    says: `missing: ${[first, ...more].map(({ name, lost }) => `${lost.join(', ')} (${name})`).join('; ')}`,
    advice: `Restore them from a backup, or see what ${first.name} can go back to: croft checkpoint ls ${first.name}`,
  }
}

async function operations({ box }: CheckParts): Promise<Check> {
  const open = Object.values(box.store.state.operations).filter(
    (each) => Date.now() - Date.parse(each.startedAt) > 600_000,
  )
  if (open.length === 0) return { what: 'changes', state: 'fine', says: 'none is stuck' }
  const kinds = open.map((each) => each.kind).join(', ')
  return {
    what: 'changes',
    state: 'look',
    says: `unfinished for over ten minutes: ${kinds}`,
    advice: 'Croft tries them again each time it starts: systemctl restart croft',
  }
}
