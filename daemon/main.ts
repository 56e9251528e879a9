import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { type Logger, pino } from 'pino'
import { Activity } from './activity/index.ts'
import { startConfig } from './adapters/caddy/config.ts'
import { DiskReserve } from './adapters/files/disk-reserve.ts'
import { findQemuUser, makeFiles, makeMemoryFolders } from './adapters/files/files.ts'
import { makeImageFiles } from './adapters/files/image-files.ts'
import { makeGuests } from './adapters/guest/index.ts'
import { daemonKeyPath } from './adapters/guest/ssh.ts'
import { SshConnections } from './adapters/guest/ssh-connections.ts'
import { Terminals } from './adapters/guest/terminals.ts'
import { ksm } from './adapters/kernel/ksm.ts'
import { readMemory, readPressure, readStalls } from './adapters/kernel/load.ts'
import { boxSettings, reserveBytes } from './adapters/kernel/machine.ts'
import { guardFromOom } from './adapters/kernel/oom.ts'
import { makeShapes } from './adapters/kernel/shape.ts'
import { inspectKey } from './adapters/keys/inspect-key.ts'
import { publishedKeys } from './adapters/keys/published-keys.ts'
import { makeHypervisor } from './adapters/libvirt/hypervisor.ts'
import { openLibvirt } from './adapters/libvirt/index.ts'
import { Clients } from './adapters/network/clients.ts'
import { readConnections } from './adapters/network/connections.ts'
import { Firewall } from './adapters/network/firewall.ts'
import { makeNetwork } from './adapters/network/network.ts'
import { openRestic } from './adapters/restic/restic.ts'
import { commands } from './commands/index.ts'
import { readConfig } from './config.ts'
import { authorizedLine, keysOf, tellGuests } from './core/access/keys.ts'
import { keepAppointments } from './core/appointment/alarms.ts'
import { keepBackups } from './core/backup/plan.ts'
import type { Box } from './core/box.ts'
import { keepSchedules } from './core/checkpoint/schedule.ts'
import { keepClocks } from './core/clocks.ts'
import { EventLog } from './core/events.ts'
import { ensureGolden, keepBases } from './core/image/golden.ts'
import { keepSpares } from './core/image/spares.ts'
import type { Host } from './core/interfaces/host.ts'
import { keepCompacted } from './core/layer/compaction.ts'
import { Live } from './core/live.ts'
import { recoverIfOpen } from './core/operation/registry.ts'
import { keepReconciled } from './core/reconcile.ts'
import { keepCompressed } from './core/sleep/compress.ts'
import { keepDozes } from './core/sleep/doze.ts'
import { watchIdle } from './core/sleep/idle.ts'
import { UsageTracker } from './core/usage.ts'
import { AutostartQueue } from './core/vm/autostart.ts'
import { keepRestarting } from './core/vm/crashes.ts'
import { stopAll } from './core/vm/power.ts'
import { keepShares } from './core/vm/qos.ts'
import { checkWeb } from './doctor/check-web.ts'
import { checkBox, lookAtDisk } from './doctor/checks.ts'
import { warnOfDisk } from './doctor/warn-of-disk.ts'
import {
  addressOf,
  Certificates,
  enforceRevocations,
  FailureLimiter,
  type Gate,
  GrantCache,
  GuestPorts,
  keepLifetimes,
  Links,
  makeWeb,
  OpenConnections,
  openGate,
  publicOriginOf,
  Sessions,
  Tokens,
} from './doors/gate/index.ts'
import { readConsole } from './doors/http/console.ts'
import { openListeners } from './doors/http/listeners.ts'
import { Governor } from './governor/index.ts'
import { resumeAfterEnospc } from './governor/resume-after-enospc.ts'
import { repeat } from './lib/async/interval.ts'
import { Locks } from './lib/async/locks.ts'
import { memoizeFor } from './lib/async/memoize.ts'
import { asCroftError, errorCodes } from './lib/error.ts'
import { groupId } from './lib/process/accounts.ts'
import { outliveErrors } from './lib/process/outlive-errors.ts'
import { boxIsStopping, notifyReady } from './lib/process/systemd.ts'
import { version } from './lib/version.ts'
import { Histories } from './metrics/history.ts'
import { Meter } from './metrics/meter.ts'
import { keepHistories } from './metrics/sampler.ts'
import { openStore } from './store/index.ts'
import { keepCaddy, passesOf } from './wire/caddy.ts'
import { gatewayKeys } from './wire/gateway-process.ts'
import { makeGatewayKeys, makeKey } from './wire/keys.ts'
import { lookAtNetwork, restoreFirewall } from './wire/network.ts'
import { superviseServices } from './wire/standalone.ts'

const stopGraceMs = 60_000
const firstConnectionMs = 5_000
/** How often Caddy's configuration is checked and restored if necessary. */
const caddyLookMs = 1_000
const networkLookMs = 5_000

/** croftd: builds, wires and starts the parts, and ends them in reverse order. The only file that knows all parts. */
async function main(log: Logger): Promise<void> {
  const { values } = parseArgs({
    options: {
      config: { type: 'string', default: '/etc/croft/config.json' },
      recipes: { type: 'string', default: join(import.meta.dirname, '..', 'images') },
      standalone: { type: 'boolean', default: false },
    },
  })
  const config = await readConfig(values.config)
  const { folder, network } = config
  await using ends = new AsyncDisposableStack()

  const reserve = new DiskReserve(folder)
  const store = await openStore(folder, () => reserve.give())
  ends.defer(() => store.close())
  store.lost.catch((err) => {
    log.fatal({ err }, 'another process has taken over the state folder')
    process.exit(errorCodes.conflict.exit)
  })
  if (values.standalone) {
    const { web, ssh } = config
    const caddy = web ? { ...web, folder, start: startConfig(web.admin) } : undefined
    const program = join(import.meta.dirname, 'gateway.ts')
    const keys = Object.values(gatewayKeys(folder))
    ends.defer(await superviseServices(log, caddy, ssh ? { ...ssh, program, config: values.config, keys } : undefined))
  }

  const libvirt = openLibvirt({ uri: config.libvirt, log: (message, details) => log.info(details, message) })
  ends.defer(() => libvirt.close())
  const [settings, qemu] = await Promise.all([boxSettings(config, resolve(values.config)), findQemuUser()])
  await makeMemoryFolders(folder)
  const shapes = makeShapes(config, store, libvirt, qemu)
  const hypervisor = makeHypervisor(libvirt, folder, store.state.instance, shapes.shape, (why) =>
    log.warn(
      { why },
      'the format of saved memory is not understood, so it is loaded unchanged: pages of zeroes take time and memory',
    ),
  )
  const ports = config.web || { http: 80, https: 443 }
  const front = () => publicOriginOf(store.state.web, ports)
  const firewall = new Firewall({ ...network, subnet: settings.subnet, web: config.web })
  const { line: daemonKey } = await makeKey(daemonKeyPath(folder), 'croft')
  const gatewayKey = config.ssh ? await makeGatewayKeys(folder, config.ssh) : undefined
  const events = new EventLog(randomBytes(4).toString('hex'))
  const activity = await Activity.open(folder, {
    log,
    heard: () => events.publish({ type: 'activity' }),
  })
  ends.defer(() => activity.close())
  const pressure = memoizeFor(1000, readPressure)
  const governor = new Governor(async () => {
    const [memory, stalls] = await Promise.all([readMemory(), readStalls('memory')])
    const available = memory.available - meter.sharedMemory()
    return { total: memory.total, available, ...stalls, reserve: reserveBytes(config, memory.total) }
  }, pressure)
  if (store.state.samePages)
    await ksm.set(true).catch((err) => log.warn({ err }, 'could not turn on memory deduplication (KSM)'))
  const connections = new SshConnections(folder, () => box)
  ends.defer(async () => connections.close())
  const box: Box = {
    settings,
    store,
    hypervisor,
    network: makeNetwork(libvirt, firewall, { ...network, subnet: settings.subnet }, () =>
      Object.values(store.state.vms),
    ),
    files: makeFiles(folder, qemu),
    imageFiles: makeImageFiles(folder, values.recipes, qemu),
    backups: await openRestic(folder, () => makeKey(join(folder, 'keys/backup_ed25519'), 'croft backup')),
    guests: makeGuests(
      folder,
      settings.subnet,
      hypervisor.agent,
      (vm) => [daemonKey, ...(gatewayKey ? [gatewayKey.line] : []), ...keysOf(store.state, vm).map(authorizedLine)],
      connections,
    ),
    publicKeys: {
      inspect: inspectKey,
      published: (user) => publishedKeys(process.env.CROFT_KEYS_FROM ?? 'https://github.com', user),
    },
    live: new Live(),
    usage: new UsageTracker((id) => id in store.state.vms),
    events,
    activity,
    locks: new Locks(),
    autostart: new AutostartQueue(async () => (await pressure()).cpu),
    spares: keepSpares(() => box),
    recoverIfOpen,
    webAddress: (vm) => (config.web ? addressOf({ box, front }, vm) : null),
    governor,
    ssh: config.ssh
      ? {
          port: config.ssh.port,
          host(reached = hostname()) {
            const { domain } = store.state.web
            return domain === 'localhost' ? reached : domain
          },
        }
      : null,
    log,
  }

  ends.defer(guardFromOom(box))
  ends.defer(keepShares(box))
  ends.defer(keepDozes(box))
  ends.defer(keepClocks(box, keepLifetimes(store)))
  ends.defer(resumeAfterEnospc(box, () => reserve.keep()))
  const idle = watchIdle(box, readConnections)
  ends.defer(() => idle.stop())
  const bootId = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim()
  const reconciler = keepReconciled(box, bootId)
  ends.defer(() => reconciler.stop())
  ends.defer(firewall.watch(() => restoreFirewall(box, firewall)))
  ends.defer(repeat(networkLookMs, 'check the network', log, () => reconciler.first.then(() => lookAtNetwork(box))))
  const meter = new Meter(box, folder)
  ends.defer(() => meter.close())
  ends.defer(governor.start(box, () => meter.stats()))
  const histories = new Histories(folder, log)
  ends.defer(keepHistories(box, meter, histories, folder))
  const clients = new Clients([ports.http, ports.https], firewall)
  const gate: Gate = {
    box,
    front,
    sessions: new Sessions(store),
    links: new Links(store),
    tokens: new Tokens(store),
    failures: new FailureLimiter(),
    ports: new GuestPorts(box),
    connections: new OpenConnections(config.web ? await clients.open().catch(() => []) : []),
    grants: new GrantCache(passesOf(config.web)),
  }
  const certificates = new Certificates(gate)
  const caddy = config.web ? keepCaddy(config.web, config, store, log) : undefined
  const host: Host = {
    folder,
    connections,
    web: makeWeb({
      gate,
      port: config.port,
      change: caddy?.change,
      check: () =>
        checkWeb({
          settings: store.state.web,
          ports,
          hosts: Object.keys(store.state.hosts),
          ownRoot: caddy?.ownRoot ?? '',
        }),
    }),
    usage: () => meter.host(),
    vmUsage: () => meter.vms(),
    pressure,
    ksm,
    counters: () => meter.counters(),
    history: (subject, range) => histories.read(subject, range, new Date()),
    lookForUse: () => idle.look(),
    async versions() {
      const found = await libvirt.call.version().catch(() => undefined)
      const unknown = 'not reached'
      return {
        croft: version,
        node: process.version.slice(1),
        libvirt: found?.libvirt ?? unknown,
        qemu: found?.hypervisorVersion ?? unknown,
      }
    },
    checks: () =>
      checkBox({
        box,
        folder,
        firewall,
        usage: () => meter.host(),
        history: host.history,
        probe: shapes.probe,
        ssh: config.ssh,
        web: caddy && {
          keep: caddy.keep,
          ports: front().secure ? [ports.http, ports.https] : [ports.http],
          address: host.web.addressOfName('<vm>'),
        },
      }),
  }

  // Commands are served once the state of all VMs is known. If libvirt can't be reached they are served anyway, and
  // report that themselves.
  await Promise.race([reconciler.first, new Promise((resolve) => setTimeout(resolve, firstConnectionMs).unref())])
  const terminals = new Terminals(box, folder)
  ends.defer(() => terminals.close())
  ends.defer(repeat(60_000, 'end forgotten terminals', log, async () => terminals.endForgotten()))
  const doors = await openListeners({
    app: { commands, box, host },
    version,
    config,
    gate,
    certificates,
    terminals,
    console: await readConsole(join(import.meta.dirname, '..', 'ui/dist')),
  })
  ends.defer(() => doors.close())
  if (config.web && caddy) {
    ends.defer(await openGate(gate, doors.site, config.web.gate, await groupId(config.web.group)))
    ends.defer(repeat(caddyLookMs, 'give Caddy its configuration', log, () => caddy.keep()))
    ends.defer(enforceRevocations(gate, clients, log))
  }
  outliveErrors(log)
  await notifyReady()
  if (gatewayKey?.made) void reconciler.first.then(() => tellGuests(box, () => true))
  keepGolden(box)
  ends.defer(keepBases(box))
  box.spares.refresh()
  ends.defer(() => box.spares.stop())
  ends.defer(keepSchedules(box, reconciler.first))
  ends.defer(keepBackups(box, reconciler.first))
  ends.defer(keepAppointments(box, reconciler.first))
  ends.defer(keepRestarting(box))
  ends.defer(keepCompacted(box))
  ends.defer(warnOfDisk(box, () => lookAtDisk(host)))
  ends.defer(keepCompressed(box, reconciler.first))
  log.info({ version, socket: config.socket, port: config.port }, 'ready')

  log.info({ signal: await endSignal() }, 'ending')
  if (await boxIsStopping()) {
    log.info('the box is shutting down, and its VMs with it')
    await stopAll(box, stopGraceMs)
  }
}

/**
 * Makes a golden checkpoint of the default image if it has none, because an older Croft built the image or QEMU has
 * been upgraded.
 */
function keepGolden(box: Box): void {
  const { golden, defaults } = box.settings
  const image = Object.values(box.store.state.images).find((each) => each.current && each.name === defaults.image)
  if (!golden || !image) return
  ensureGolden(box, image, defaults).catch((err) => box.log.error({ err }, 'could not make a golden checkpoint'))
}

function endSignal(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve(signal))
  })
}

export const log = pino({ level: process.env.CROFT_LOG ?? 'info', base: null })
// If the process runs out of work before it has set its exit code, it has failed.
process.exitCode = errorCodes.internal.exit
main(log).then(
  () => process.exit(0),
  (thrown) => {
    const error = asCroftError(thrown)
    log.fatal({ err: thrown }, 'could not go on')
    process.stderr.write(`croftd: ${error.message}\n${error.hint ? `${error.hint}\n` : ''}`)
    process.exit(errorCodes[error.code].exit)
  },
)
