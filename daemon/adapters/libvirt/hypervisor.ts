import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { DomainEvent, DomainInfo, Hypervisor, VmStats } from '../../core/interfaces/hypervisor.ts'
import { CroftError, reasonOf } from '../../lib/error.ts'
import { readXml } from '../../lib/text/read-xml.ts'
import { xml } from '../../lib/text/xml.ts'
import type { Hardware, Image, Limits, MemoryBase } from '../../store/index.ts'
import { openForWriting } from '../kernel/open-files.ts'
import { pidOf, pidOfDomain } from '../kernel/pid.ts'
import { readProcessMemory } from '../kernel/process-memory.ts'
import { pulse } from './balloon.ts'
import { VIR } from './binding/constants.ts'
import { LibvirtError, toCroftError } from './binding/errors.ts'
import type { LibvirtEvent } from './binding/event.ts'
import type { DomainSummary } from './binding/ops/domain.ts'
import { commitBlocks, reopenReadOnly } from './block-job.ts'
import type { Libvirt } from './client.ts'
import { type BoxShape, digest, domainName, domainXml, vmFolder } from './domain-xml.ts'
import { library, MemoryBases } from './memory/bases.ts'
import { snapshotMemory } from './memory/live-snapshot.ts'
import { type Filter, openSaveImage, rewrite, withHeader } from './memory/load.ts'
import type { SaveImage } from './memory/save-image.ts'
import type { Summary } from './memory/stream-filter.ts'

/**
 * The folder of QEMU's logs, one per domain. libvirt never deletes a log, even when its domain is undefined; virtlogd
 * keeps three rotated files of each.
 */
const logFolder = '/var/log/libvirt/qemu'

/** How long a guest agent may take to freeze its guest's file systems. */
const freezeSeconds = 5

/**
 * Implements the domain's hypervisor interface with libvirt.
 * @param folder the state folder @param instance marks the domains of this installation
 * @param shape returns the hardware and resources for a domain made from this image
 * @param warn called once, with the reason, if QEMU saves memory in a format that Croft does not understand
 */
export function makeHypervisor(
  libvirt: Libvirt,
  folder: string,
  instance: string,
  shape: (image: Image) => Promise<BoxShape>,
  warn: (why: string) => void,
): Hypervisor {
  const { call } = libvirt
  const bases = new MemoryBases(folder)
  /** The names of domains, by UUID. */
  let names = new Map<string, string>()
  /** How many times libvirt opens a save image to read its header: twice since about version 11, once before. */
  let headers = 1
  let isUnderstood = true
  const noteSummary = ({ unknown }: Summary) => {
    if (unknown !== undefined && isUnderstood) warn(unknown)
    isUnderstood &&= unknown === undefined
  }
  return {
    async domains() {
      const ours = (await croft(call.domainList())).filter((domain) => domain.name.startsWith('croft-vm_'))
      return (await Promise.all(ours.map((domain) => describeDomain(domain)))).flatMap((domain) => domain ?? [])
    },

    async define(spec) {
      const xml = domainXml(spec, await croft(shape(spec.image)))
      await croft(call.domainDefine(xml.text))
    },

    async undefine(vm) {
      const flags = VIR.DOMAIN_UNDEFINE_MANAGED_SAVE | VIR.DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
      await unless(gone, call.domainUndefine(vm.uuid, flags))
      const log = `${logFolder}/${domainName(vm)}.log`
      // A log that can't be removed is no reason to keep a VM.
      await Promise.all(['', '.0', '.1', '.2'].map((older) => rm(log + older).catch(() => {})))
    },

    async start(uuid) {
      await become(call.domainStart(uuid), () => this.state(uuid), 'running', 'paused')
    },

    async writes(vm, files) {
      const open = new Set(await openForWriting(await pidOf(vm)))
      return files.filter((file) => open.has(join(folder, file)))
    },

    async onlyRead(uuid, layer, beneath) {
      await croft(reopenReadOnly(libvirt, uuid, join(folder, layer.file), join(folder, beneath.file)))
    },

    async askShutdown(uuid, byAgent) {
      const way = byAgent ? VIR.DOMAIN_SHUTDOWN_GUEST_AGENT : VIR.DOMAIN_SHUTDOWN_ACPI_POWER_BTN
      await croft(call.domainShutdown(uuid, way))
    },

    async powerOff(uuid) {
      await become(call.domainDestroy(uuid), () => this.state(uuid), 'off', 'crashed', undefined)
    },

    async pause(uuid) {
      await become(call.domainSuspend(uuid), () => this.state(uuid), 'paused')
    },

    async resume(uuid) {
      await become(call.domainResume(uuid), () => this.state(uuid), 'running')
    },

    hardware,

    async hardwareOf(uuid, image) {
      const domain = readXml(await croft(call.domainXml(uuid)))
      const cpus = Number(domain.first('vcpu')?.text)
      const memoryMiB = Number(domain.first('memory')?.text) / 1024
      const machine = domain.first('os/type')?.attributes.machine ?? ''
      const devices = domain.first(ownMetadata)?.attributes.devices ?? ''
      return { ...(await hardware(image, { cpus, memoryMiB })), machine, devices }
    },

    async save(uuid, memory) {
      await croft(call.domainSave(uuid, join(folder, memory.file)))
    },

    async snapshot(uuid, memory, disk, agent) {
      const saved = memory ? xml`<memory snapshot="external" file="${join(folder, memory.file)}"/>` : undefined
      const description = xml`<domainsnapshot>${saved}<disks>
  <disk name="vda" snapshot="external"><driver type="qcow2"/><source file="${join(folder, disk.file)}"/></disk>
</disks></domainsnapshot>`
      const { DOMAIN_SNAPSHOT_CREATE_QUIESCE: quiesce, DOMAIN_SNAPSHOT_CREATE_DISK_ONLY: diskOnly } = VIR
      const whole =
        VIR.DOMAIN_SNAPSHOT_CREATE_ATOMIC |
        VIR.DOMAIN_SNAPSHOT_CREATE_NO_METADATA |
        VIR.DOMAIN_SNAPSHOT_CREATE_REUSE_EXT
      if (memory) {
        const written = [memory.file, (await this.diskOf(uuid)) ?? []].flat().map((file) => join(folder, file))
        const isEmulated = memory.hardware.accelerator !== 'kvm'
        await croft(snapshotMemory(libvirt, uuid, description.text, whole, isEmulated, written))
      } else {
        const takeDisk = (flag: number) => croft(call.domainSnapshot(uuid, description.text, whole | diskOnly | flag))
        if (agent) await croft(call.domainSetAgentTimeout(uuid, freezeSeconds))
        await takeDisk(agent ? quiesce : 0).catch(async (error) => {
          if (!agent || !(error instanceof CroftError) || error.code !== 'guest-failed') throw error
          // Its agent did not freeze its file systems: they are caught as by a power cut, which they survive. It may
          // freeze them yet.
          await call.domainAgentCommand(uuid, '{"execute":"guest-fsfreeze-thaw"}', 1).catch(() => {})
          await takeDisk(0)
        })
      }
    },

    async load(spec, memory, base, map, how) {
      const path = join(folder, memory.file)
      const image = await openSaveImage(path)
      if (map) await bases.checkLibrary()
      const filters = await filtersFor(image, base, map)
      const mapped = map && base ? { id: base.id, file: bases.path(base), library } : undefined
      const shown = await croft(shape(spec.image))
      const described = domainXml({ ...spec, hardware: memory.hardware }, shown, undefined, mapped)
      // Under emulation the CPU is always the same; with the cookie, libvirt would still compare it property by
      // property.
      const kept = memory.hardware.accelerator === 'kvm' ? image.cookie : null
      const header = { xml: described.text, cookie: kept, running: true }
      const fifo = join(vmFolder(folder, spec.vm), 'incoming')
      // A guest whose memory is mapped runs only when the map has been checked.
      const flag = how === 'paused' || mapped ? VIR.DOMAIN_SAVE_PAUSED : VIR.DOMAIN_SAVE_RUNNING
      const restore = (from: string) => croft(call.domainRestore(from, null, flag))
      const attempt = () => withHeader(path, image, filters, header, headers, fifo, restore, noteSummary)
      await attempt().catch((error) => {
        if (headers === 2 || !/magic is incorrect/.test(reasonOf(error))) throw error
        headers = 2
        return attempt()
      })
      if (!mapped) return
      if (!(await bases.isMapped(await pidOf(spec.vm), base!).catch(() => false))) {
        await this.powerOff(spec.vm.uuid)
        throw new CroftError('unavailable', `QEMU did not map the memory base ${base!.file}.`)
      }
      if (how === 'running') await this.resume(spec.vm.uuid)
    },

    async state(uuid) {
      const found = await unless(gone, call.domainState(uuid))
      return found && stateWord(found.state, found.reason)
    },

    memoryComplete: (memory) =>
      openSaveImage(join(folder, memory.file)).then(
        () => true,
        () => false,
      ),

    async rewrite({ file }, base, to, format, signal) {
      const path = join(folder, file)
      if ((await openSaveImage(path)).base) throw new RangeError('only memory as QEMU wrote it is rewritten')
      if (base) await bases.check(base)
      const filter: Filter = base ? ['difference', bases.path(base)] : ['zero-pages']
      const storage = { format, hasZeroPages: false, base: base?.id ?? null }
      noteSummary(await rewrite(path, join(folder, to), [filter], storage, signal))
    },

    async extractBase(memory, under, base, file, signal) {
      const path = join(folder, memory.file)
      // All pages are needed, also those that are in the base beneath.
      const filters = await filtersFor(await openSaveImage(path), under, false)
      const storage = { format: 'raw', hasZeroPages: false, base: base.id } as const
      await rm(bases.path(base), { force: true })
      const extract: Filter = ['extract', bases.path(base)]
      noteSummary(await rewrite(path, join(folder, file), [...filters, extract], storage, signal))
    },

    async checkBase(base) {
      await bases.checkLibrary()
      await bases.check(base, true)
    },

    async diskOf(uuid) {
      const text = await unless(gone, call.domainXml(uuid))
      const path = text && readXml(text).first('devices/disk/source')?.attributes.file
      return path?.startsWith(`${folder}/`) ? path.slice(folder.length + 1) : path
    },

    async abortJob(uuid) {
      await unless([...gone, ...already], call.domainAbortJob(uuid))
    },

    async jobDone(uuid) {
      while (await unless([...gone, ...already], call.domainHasJob(uuid))) await delay(100)
    },

    async commit(uuid, top, base, signal) {
      const isDisk = (await this.diskOf(uuid)) === top.file
      await commitBlocks(libvirt, uuid, { top: join(folder, top.file), base: join(folder, base.file), isDisk }, signal)
    },

    async endBlockJob(uuid) {
      const none = [...gone, ...already, ...jobless]
      // A job that is ready to pivot must be pivoted: see commitBlocks. Any other job refuses to.
      const pivoted = call.domainBlockJobAbort(uuid, 'vda', VIR.DOMAIN_BLOCK_JOB_ABORT_PIVOT).then(
        () => true,
        () => false,
      )
      if (await pivoted) return true
      return (
        (await unless(
          none,
          call.domainBlockJobAbort(uuid, 'vda').then(() => true),
        )) ?? false
      )
    },

    pulse: (...how) => croft(pulse(libvirt, ...how)),

    async setBalloon(uuid, bytes, statsS) {
      const live = VIR.DOMAIN_AFFECT_LIVE
      await croft(call.domainSetMemory(uuid, Math.ceil(bytes / 1024), live))
      await croft(call.domainSetMemoryStatsPeriod(uuid, statsS, live))
    },

    async setCpuShares(uuid, shares) {
      await croft(call.domainSetCpuShares(uuid, shares, VIR.DOMAIN_AFFECT_LIVE))
    },

    async setCpuLimit(uuid, percent) {
      const quotaUs = percent === null ? -1 : (percent * cpuPeriodUs) / 100
      await croft(call.domainSetCpuQuota(uuid, cpuPeriodUs, quotaUs, VIR.DOMAIN_AFFECT_LIVE))
    },

    async setDiskWeight(uuid, weight) {
      await croft(call.domainSetDiskWeight(uuid, weight, VIR.DOMAIN_AFFECT_LIVE))
    },

    async setDiskLimit(uuid, bytesPerS) {
      await croft(call.domainSetDiskLimit(uuid, 'vda', bytesPerS ?? 0, VIR.DOMAIN_AFFECT_LIVE))
    },

    async growDisk(uuid, bytes) {
      await croft(call.domainBlockResize(uuid, 'vda', bytes))
    },

    async agent(uuid, command, timeoutS = 10) {
      const options = { timeoutMs: (timeoutS + 5) * 1000 }
      const answer = await croft(call.domainAgentCommand(uuid, JSON.stringify(command), timeoutS, options))
      try {
        return (JSON.parse(answer) as { return: unknown }).return
      } catch (cause) {
        throw new CroftError('guest-failed', 'The guest agent answered something that is not JSON.', { cause })
      }
    },

    async stats() {
      const groups =
        VIR.DOMAIN_STATS_CPU_TOTAL |
        VIR.DOMAIN_STATS_VCPU |
        VIR.DOMAIN_STATS_BALLOON |
        VIR.DOMAIN_STATS_INTERFACE |
        VIR.DOMAIN_STATS_BLOCK
      const all = await croft(call.domainStatsOfAll(groups, VIR.CONNECT_GET_ALL_DOMAINS_STATS_RUNNING))
      if (Object.keys(all).some((uuid) => !names.has(uuid)))
        names = new Map((await croft(call.domainList())).map(({ uuid, name }) => [uuid, name]))
      const entries = Object.entries(all).map(
        async ([uuid, stats]): Promise<[string, VmStats]> => [
          uuid,
          {
            ...(await memoryOf(uuid, Number(stats['balloon.rss'] ?? 0) * 1024)),
            cpuTimeNs: Number(stats['cpu.time'] ?? 0),
            guestTimeNs: sumOf(stats, /^vcpu\.\d+\.time$/),
            waitedNs: sumOf(stats, /^vcpu\.\d+\.delay$/),
            receivedBytes: sumOf(stats, /^net\.\d+\.rx\.bytes$/),
            sentBytes: sumOf(stats, /^net\.\d+\.tx\.bytes$/),
            sentPackets: sumOf(stats, /^net\.\d+\.tx\.pkts$/),
            diskReadBytes: sumOf(stats, /^block\.\d+\.rd\.bytes$/),
            diskWrittenBytes: sumOf(stats, /^block\.\d+\.wr\.bytes$/),
            balloon: balloonOf(stats),
          },
        ],
      )
      return new Map(await Promise.all(entries))
    },

    watch: (listener) =>
      libvirt.onEvent((event) => {
        const translated = translate(event)
        if (translated) listener(translated)
      }),

    async confinement() {
      const models = readXml(await croft(call.capabilities())).all('host/secmodel/model')
      return models.map(({ text }) => text).find((model) => ['apparmor', 'selinux'].includes(model))
    },

    trouble() {
      const { connected, reason } = libvirt.status()
      return connected ? undefined : `libvirt can't be reached: ${reason ?? 'no reason given'}`
    },
  }

  /** What a domain's QEMU has of the box's memory. @param residentBytes as libvirt says */
  async function memoryOf(
    uuid: string,
    residentBytes: number,
  ): Promise<Pick<VmStats, 'residentBytes' | 'ownBytes' | 'fileBytes'>> {
    const found = await pidOfDomain(names.get(uuid) ?? '')
      .then(readProcessMemory)
      .catch(() => ({ ownBytes: residentBytes, fileBytes: 0 }))
    return { residentBytes, ...found }
  }

  /** The filters for loading memory. @throws CroftError `memory-unusable` when the base is needed and damaged */
  async function filtersFor(image: SaveImage, base: MemoryBase | undefined, map: boolean): Promise<Filter[]> {
    if (image.base && image.base !== base?.id)
      throw new CroftError('memory-unusable', `The saved memory needs the memory base ${image.base}, which is gone.`)
    if (base && (map || image.base)) {
      await bases.check(base)
      if (!image.base) return [['difference', bases.path(base)]]
      return map ? [] : [['merge', bases.path(base)]]
    }
    // A stream that was compressed by an older Croft may still have its pages of zeroes.
    return image.hasZeroPages && image.format === 'raw' ? [['zero-pages']] : []
  }

  async function hardware(image: Image, { cpus, memoryMiB }: Pick<Limits, 'cpus' | 'memoryMiB'>): Promise<Hardware> {
    const [{ accelerator, machine, devices }, { hypervisorVersion }] = await Promise.all([
      croft(shape(image)),
      croft(call.version()),
    ])
    const cpu = digest(accelerator === 'kvm' ? await hostCpu() : 'emulated')
    return { devices, accelerator, cpu, machine, qemu: hypervisorVersion, cpus, memoryMiB }
  }

  /**
   * Describes a domain; undefined if the domain isn't ours or has gone. The XML of a running domain also tells whether
   * the guest agent has its channel open.
   */
  async function describeDomain({ uuid, state, reason }: DomainSummary): Promise<DomainInfo | undefined> {
    const text = await unless(gone, call.domainXml(uuid))
    const domain = text === undefined ? undefined : readXml(text)
    if (domain?.first(ownMetadata)?.attributes.instance !== instance) return undefined
    const channels = domain.all('devices/channel/target')
    const agent = channels.find(({ attributes }) => attributes.name === 'org.qemu.guest_agent.0')
    return {
      uuid,
      state: stateWord(state, reason),
      reason,
      agent: agent?.attributes.state === 'connected',
      base: domain.first(ownMetadata)?.attributes.base ?? null,
    }
  }
}

function stateWord(state: DomainSummary['state'], reason: string): DomainInfo['state'] {
  if (state === 'running' || state === 'blocked' || state === 'shutting-down') return 'running'
  if (state === 'paused' || state === 'pm-suspended') return reason === 'crashed' ? 'crashed' : 'paused'
  return state === 'crashed' || reason === 'crashed' ? 'crashed' : 'off'
}

function translate(event: LibvirtEvent): DomainEvent | undefined {
  switch (event.type) {
    case 'connected':
      return { type: 'connected' }
    case 'disconnected':
      return { type: 'disconnected', reason: event.reason }
    case 'reboot':
      return { type: 'rebooted', uuid: event.uuid }
    case 'agent':
      return { type: 'agent', uuid: event.uuid, connected: event.state === 'connected' }
    case 'lifecycle':
      return lifecycle(event)
    default:
      return undefined
  }
}

function lifecycle({ event, uuid, detail }: Extract<LibvirtEvent, { type: 'lifecycle' }>): DomainEvent | undefined {
  switch (event) {
    case 'started':
      return { type: 'started', uuid, reason: detail }
    case 'suspended':
      return { type: 'paused', uuid, reason: detail }
    case 'resumed':
      return { type: 'resumed', uuid, reason: detail }
    case 'stopped':
    case 'crashed':
      return { type: 'stopped', uuid, how: event === 'crashed' ? 'crashed' : howStopped(detail), reason: detail }
    default:
      return undefined
  }
}

function howStopped(detail: string): Extract<DomainEvent, { type: 'stopped' }>['how'] {
  if (detail === 'shutdown' || detail === 'saved') return detail
  return detail === 'crashed' || detail === 'failed' ? 'crashed' : 'powered-off'
}

/** Returns the model and features of the box's CPU, from /proc/cpuinfo: what a guest under KVM sees. */
async function hostCpu(): Promise<string> {
  const text = await readFile('/proc/cpuinfo', 'utf8')
  return ['vendor_id', 'cpu family', 'model', 'stepping', 'flags']
    .map((field) => new RegExp(`^${field}\\s*: .*$`, 'm').exec(text)?.[0])
    .join('\n')
}

/** Converts libvirt's errors to Croft's. */
function croft<T>(work: Promise<T>): Promise<T> {
  return unless([], work) as Promise<T>
}

/**
 * Waits for a call that changes a domain's state. libvirt has a single error code both for a domain that is already in
 * that state and for many reasons why it can't get there, such as an inactive network. So on this error the state is
 * read: the call counts as successful if the state is a wanted one.
 */
async function become<S>(work: Promise<unknown>, state: () => Promise<S>, ...wanted: S[]): Promise<void> {
  try {
    await work
  } catch (error) {
    const maybe = error instanceof LibvirtError && [...already, ...gone].includes(error.codeName)
    const so = maybe && wanted.includes(await state())
    if (!so) throw toCroftError(error)
  }
}

/** Waits for a call, and returns undefined instead of throwing if libvirt's error has one of these codes. */
async function unless<T>(codes: readonly string[], work: Promise<T>): Promise<T | undefined> {
  return work.catch((error) => {
    if (error instanceof LibvirtError && codes.includes(error.codeName)) return undefined
    throw toCroftError(error)
  })
}

/** The path of Croft's own element in a domain's XML. */
const ownMetadata = 'metadata/croft:vm'

/** The kernel's default. Within it a guest runs and is then throttled, both too briefly to be noticed. */
const cpuPeriodUs = 100_000

const gone = ['NO_DOMAIN']
const jobless = ['INVALID_ARG'] // libvirt's error for a disk without a block job
const already = ['OPERATION_INVALID'] // also: there is no job

/** libvirt reports these in KiB: virConnectGetAllDomainStats, `balloon.…`. */
function balloonOf(stats: Record<string, unknown>): VmStats['balloon'] {
  const KiB = (name: string) => Number(stats[`balloon.${name}`] ?? 0) * 1024
  if (!('balloon.current' in stats)) return undefined
  return {
    bytes: KiB('current'),
    maximumBytes: KiB('maximum'),
    usableBytes: 'balloon.usable' in stats ? KiB('usable') : undefined,
    cachesBytes: KiB('disk_caches'),
    majorFaults: Number(stats['balloon.major_fault'] ?? 0),
    saidAt: Number(stats['balloon.last-update'] ?? 0),
  }
}

function sumOf(stats: Record<string, unknown>, names: RegExp): number {
  return Object.entries(stats).reduce((sum, [name, value]) => (names.test(name) ? sum + Number(value) : sum), 0)
}
