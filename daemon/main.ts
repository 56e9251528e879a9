import { randomBytes } from 'node:crypto'
import { mkdir, readFile, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { type Logger, pino } from 'pino'
import type { Box } from './box/box.ts'
import { EventLog } from './box/events.ts'
import { every } from './box/every.ts'
import { ensureGolden } from './box/golden.ts'
import type { Host, Web } from './box/host.ts'
import { watchIdle } from './box/idle.ts'
import { Live } from './box/live.ts'
import { keepMerged } from './box/merges.ts'
import { stopAll } from './box/power.ts'
import { keepReconciled } from './box/reconcile.ts'
import { keepSchedules } from './box/schedule.ts'
import { keepSpares } from './box/spares.ts'
import { Locks, Semaphore } from './box/sync.ts'
import { Uses } from './box/uses.ts'
import { makeCaddy } from './caddy/client.ts'
import { caddyConfig } from './caddy/config.ts'
import { configure } from './caddy/configure.ts'
import { commands } from './commands/index.ts'
import { readConfig, type WebConfig } from './config.ts'
import { asCroftError, errorCodes } from './error.ts'
import { findMainPort, type Gate, Links, linkPath, openGate, Sessions, Tries } from './gate/index.ts'
import { makeGuests } from './guest/index.ts'
import { daemonKeyPath } from './guest/ssh.ts'
import { checkBox } from './host/checks.ts'
import { readConnections } from './host/connections.ts'
import { findQemuUser, makeFiles } from './host/files.ts'
import { Firewall } from './host/firewall.ts'
import { makeImageFiles } from './host/image-files.ts'
import { boxSettings } from './host/machine.ts'
import { Meter } from './host/meter.ts'
import { makeNetwork } from './host/network.ts'
import { run } from './host/run.ts'
import { makeShapes } from './host/shape.ts'
import { inspectKey } from './host/ssh-key.ts'
import { superviseServices } from './host/standalone.ts'
import { boxIsStopping, notifyReady } from './host/systemd.ts'
import { groupId, openDoors } from './http/doors.ts'
import { makeHypervisor } from './libvirt/hypervisor.ts'
import { openLibvirt } from './libvirt/index.ts'
import { openStore } from './store/index.ts'
import { version } from './version.ts'

const stopGraceMs = 60_000
const firstConnectionMs = 5_000
/** How often it is seen to that Caddy runs its configuration. */
const caddyLookMs = 2_000

/** croftd: builds the parts, wires them, starts them, and ends them in the other order. The only file that knows everything. */
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

  const store = await openStore(folder)
  ends.defer(() => store.close())
  store.lost.catch((err) => {
    log.fatal({ err }, 'the state folder is no longer ours alone')
    process.exit(errorCodes.conflict.exit)
  })
  if (values.standalone) ends.defer(await superviseServices(log))

  const libvirt = openLibvirt({ uri: config.libvirt, log: (message, details) => log.info(details, message) })
  ends.defer(() => libvirt.close())
  const [settings, qemu] = await Promise.all([boxSettings(config), findQemuUser()])
  const shapes = makeShapes(config, store, libvirt, qemu)
  const hypervisor = makeHypervisor(libvirt, folder, store.state.instance, shapes.shape)
  const firewall = new Firewall({ ...network, subnet: settings.subnet })
  const daemonKey = await makeDaemonKey(daemonKeyPath(folder))
  const box: Box = {
    settings,
    store,
    hypervisor,
    network: makeNetwork(libvirt, firewall, { ...network, subnet: settings.subnet }),
    files: makeFiles(folder, qemu),
    imageFiles: makeImageFiles(folder, values.recipes, qemu),
    guests: makeGuests(folder, settings.subnet, hypervisor.agent, async () => [
      daemonKey,
      ...Object.values(store.state.keys).map((key) => `${key.publicKey} ${key.name}`),
    ]),
    inspectKey,
    live: new Live(),
    uses: new Uses(),
    events: new EventLog(randomBytes(4).toString('hex')),
    locks: new Locks(),
    boots: new Semaphore(Math.max(2, settings.most.cpus)),
    loads: new Semaphore(Math.max(2, settings.most.cpus)),
    naps: new Map(),
    waking: new Map(),
    held: new Map(),
    copying: new Map(),
    spares: keepSpares(() => box),
    merging: new Map(),
    log,
  }

  const idle = watchIdle(box, readConnections)
  ends.defer(() => idle.stop())
  const bootId = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim()
  const reconciler = keepReconciled(box, bootId)
  ends.defer(() => reconciler.stop())
  ends.defer(firewall.watch(() => restoreFirewall(box, firewall)))
  const meter = new Meter(box, folder)
  ends.defer(() => meter.close())
  const gate: Gate = {
    box,
    sessions: new Sessions(store),
    links: new Links(store),
    tries: new Tries(),
    domain: 'localhost',
  }
  const host: Host = {
    folder,
    web: config.web ? webOf(gate, config.web.http) : undefined,
    usage: () => meter.host(),
    vmUsage: () => meter.vms(),
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
    checks: () => checkBox({ box, firewall, usage: () => meter.host(), probe: shapes.probe }),
  }

  // Commands are served once the box is known; when libvirt stays away they are served too, and say so themselves.
  await Promise.race([reconciler.first, new Promise((resolve) => setTimeout(resolve, firstConnectionMs).unref())])
  ends.defer(await openDoors({ commands, box, host }, version, config))
  if (config.web) ends.defer(await openFrontDoor(gate, config.web, log))
  await notifyReady()
  keepGolden(box)
  box.spares.refresh()
  ends.defer(() => box.spares.stop())
  ends.defer(keepSchedules(box, reconciler.first))
  ends.defer(keepMerged(box))
  log.info({ version, socket: config.socket, port: config.port }, 'ready')

  log.info({ signal: await endSignal() }, 'ending')
  if (await boxIsStopping()) {
    log.info('the box shuts down, and its VMs with it')
    await stopAll(box, stopGraceMs)
  }
}

/** The gate, and Caddy before it. @returns closes both */
async function openFrontDoor(gate: Gate, web: WebConfig, log: Logger): Promise<() => Promise<void>> {
  const closeGate = await openGate(gate, web.gate, await groupId(web.group))
  const settings = { admin: web.admin, gate: web.gate, domain: gate.domain, http: web.http }
  const caddy = makeCaddy(web.admin)
  const config = caddyConfig(settings)
  const unkeep = every(caddyLookMs, 'give Caddy its configuration', log, () => configure(caddy, config, log))
  return async () => {
    unkeep()
    await closeGate()
  }
}

function webOf({ box, sessions, links, domain }: Gate, http: number): Web {
  const suffix = `${domain}${http === 80 ? '' : `:${http}`}`
  const address = (name: string, port?: number) => `http://${name}${port === undefined ? '' : `-${port}`}.${suffix}/`
  return {
    async shareLink(vm, port, name, seconds) {
      const { link, secret } = await links.make(vm, port, name, seconds)
      return { link, url: `${address(vm.name, port ?? undefined).slice(0, -1)}${linkPath}?key=${secret}` }
    },
    linksOf: (vm) => links.of(vm),
    loginLink: () => `http://croft.${suffix}/login?code=${sessions.makeCode(`croft.${domain}`)}`,
    address,
    findPort: (vm) => findMainPort(box, vm),
  }
}

/** The default image's golden checkpoint, if it has none: it was built by an older Croft, or QEMU has been upgraded. */
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

/** Our own changes replace the tables too; only their absence is a loss. */
function restoreFirewall(box: Box, firewall: Firewall): void {
  firewall
    .standing()
    .then(async (standing) => {
      if (standing) return
      await box.network.restore(() => Object.values(box.store.state.vms))
      box.events.publish({
        type: 'box.warning',
        message: 'The firewall had been removed by something on this box; it is back.',
      })
    })
    .catch((err) => box.log.error({ err }, 'could not restore the firewall'))
}

/** The key that opens every VM for the daemon; its public line. */
async function makeDaemonKey(path: string): Promise<string> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  if (!(await stat(`${path}.pub`).catch(() => undefined))) {
    await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'croft', '-f', path])
  }
  return (await readFile(`${path}.pub`, 'utf8')).trim()
}

const log = pino({ level: process.env.CROFT_LOG ?? 'info', base: null })
main(log).then(
  () => process.exit(0),
  (thrown) => {
    const error = asCroftError(thrown)
    log.fatal({ err: thrown }, 'could not go on')
    process.stderr.write(`croftd: ${error.message}\n${error.hint ? `${error.hint}\n` : ''}`)
    process.exit(errorCodes[error.code].exit)
  },
)
