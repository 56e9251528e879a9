import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Croft, must, names, program, startCroft } from '../../lib/croft.ts'
import * as frames from './frames.ts'
import { buildOutside, outsideNet, slot } from './outside.ts'
import { Station } from './station.ts'

export interface Vm {
  id: string
  ip: string
  mac: string
  tap: string
  station: Station
}

/**
 * Where a frame of Mallory's can arrive: `victim` and `tap` (the victim's, seen by the box), `box` (past the bridge),
 * `service` (a program on the box that listens on all addresses), `web` (the same at a web port), `outside`.
 */
export type Place = 'victim' | 'tap' | 'box' | 'service' | 'web' | 'outside'

const boxIp = names.subnet.replace(/0\/\d+$/, '1')
export const servicePort = 17_200 + Number(slot)
/** The box's web ports. */
export const webPorts = { http: 17_500 + Number(slot), https: 17_600 + Number(slot) }

/** Two VMs, the box between them, and a host outside, each with a watcher for what arrives. */
export class Scene implements AsyncDisposable {
  readonly croft: Croft
  readonly mallory: Vm
  readonly victim: Vm
  readonly box: { station: Station; mac: string; ip: string; otherIp: string }
  readonly outside: { station: Station; ip: string; metadata: string }
  readonly #ends: AsyncDisposableStack
  #tokens = 0
  /** Whether a VM could take another's place. */
  #isOpen = false

  static async build(): Promise<Scene> {
    await using ends = new AsyncDisposableStack()
    // The listener at the web ports is not Caddy here: to the firewall that makes no difference.
    const web = await mkdtemp(join(tmpdir(), 'croft-web-'))
    ends.defer(() => rm(web, { recursive: true }))
    const sockets = { admin: join(web, 'admin.sock'), gate: join(web, 'gate.sock'), group: 'root' }
    const croft = ends.use(await startCroft({ config: { web: { ...sockets, ...webPorts } } }))
    const outside = await buildOutside()
    ends.defer(outside.remove)
    await Promise.all(['mallory', 'victim'].map((name) => croft.do('new', name)))
    const vms = Object.values((await croft.state()).vms)
    const enter = async (name: string): Promise<Vm> => {
      const { id, ip, mac } = vms.find((vm) => vm.name === name)!
      const station = ends.use(await Station.enter(croft.folder, { id, ip }))
      return { id, ip, mac, tap: names.tapPrefix + id.slice(3), station }
    }
    const [mallory, victim, box] = await Promise.all([enter('mallory'), enter('victim'), Station.open([])])
    ends.use(box)
    const mac = (await readFile(`/sys/class/net/${names.bridge}/address`, 'utf8')).trim()
    await box.do('sniff', 'box', names.bridge)
    await box.do('sniff', 'tap', victim.tap, true)
    for (const station of [box, victim.station, outside.station]) await station.do('serve', 'service', servicePort)
    await box.do('serve', 'web', webPorts.https)
    await victim.station.do('sniff', 'victim', 'eth0')
    const scene = new Scene(
      croft,
      mallory,
      victim,
      { station: box, mac, ip: boxIp, otherIp: outsideNet.box },
      { station: outside.station, ip: outsideNet.host, metadata: outsideNet.metadata },
      ends.move(),
    )
    await scene.introduce()
    await scene.settle()
    return scene
  }

  private constructor(
    croft: Croft,
    mallory: Vm,
    victim: Vm,
    box: Scene['box'],
    outside: Scene['outside'],
    ends: AsyncDisposableStack,
  ) {
    this.croft = croft
    this.mallory = mallory
    this.victim = victim
    this.box = box
    this.outside = outside
    this.#ends = ends
  }

  /** Fixes the neighbours' addresses for the watchers' own signals; false claims about them are seen on the wire. */
  async introduce(): Promise<void> {
    for (const vm of [this.mallory, this.victim]) {
      await must('ip', ['neigh', 'replace', vm.ip, 'lladdr', vm.mac, 'dev', names.bridge, 'nud', 'permanent'])
      await vm.station.run(
        ...`ip neigh replace ${this.box.ip} lladdr ${this.box.mac} dev eth0 nud permanent`.split(' '),
      )
    }
  }

  /** A token that identifies a packet. */
  token(): string {
    return `croft-${String(++this.#tokens).padStart(6, '0')}`
  }

  /** A frame from a VM to the box or, through it, to the world. */
  viaBox(packet: Buffer, from: Vm = this.mallory): Buffer {
    return frames.ethernet(from.mac, this.box.mac, frames.type.ip, packet)
  }

  async send(list: readonly Buffer[], from: Vm = this.mallory): Promise<void> {
    await from.station.do(
      'send',
      'eth0',
      list.map((frame) => frame.toString('hex')),
    )
  }

  /** Sends frames from Mallory. @returns where any of them arrived */
  async arrivals(list: readonly Buffer[], token: string): Promise<Set<Place>> {
    await this.send(list)
    await this.settle()
    const stations = [this.box.station, this.victim.station, this.outside.station]
    const found = await Promise.all(stations.map((station) => station.do('arrived', token)))
    return new Set(found.flatMap(({ places }) => places))
  }

  /**
   * Waits until all that was sent has arrived or never will: a permitted packet, sent after it on each way, is there.
   */
  async settle(): Promise<void> {
    const { mallory, victim, box, outside } = this
    const come = async (station: Station, place: Place, token: string) => {
      if (!(await station.do('wait', place, token, 10))) throw new Error(`${token} did not come to ${place}`)
    }
    const first = this.token()
    await this.send([this.viaBox(frames.udp(mallory.ip, outside.ip, 9, first))])
    await Promise.all([come(outside.station, 'outside', first), come(box.station, 'box', first)])
    // The victim sends something, so that the bridge learns its port again; the order to do so has to reach it first.
    if (this.#isOpen) await must('bridge', ['fdb', 'replace', victim.mac, 'dev', victim.tap, 'master', 'dynamic'])
    const second = this.token()
    await this.send([this.viaBox(frames.udp(victim.ip, box.ip, 9, second), victim)], victim)
    await come(box.station, 'box', second)
    const third = this.token()
    await box.station.do('say', victim.ip, 9, third)
    await Promise.all([come(victim.station, 'victim', third), come(box.station, 'tap', third)])
    const fourth = this.token()
    await box.station.do('say', '127.0.0.1', servicePort, fourth)
    await come(box.station, 'service', fourth)
  }

  /** Opens our firewall from within, and the bridge's ports, to check that the attacks can succeed at all. */
  async open(): Promise<void> {
    const { table } = names
    const rules = ['bridge', 'inet'].flatMap((family) =>
      ['prerouting', 'input', 'forward'].map((chain) => `insert rule ${family} ${table} ${chain} accept\n`),
    )
    await must('nft', ['-f', '-'], { input: rules.join('') })
    await this.#isolate(false)
    this.#isOpen = true
  }

  /** Removes our tables, which the daemon restores. */
  async close(): Promise<void> {
    this.#isOpen = false
    await this.#isolate(true)
    await this.lose(['bridge', 'inet'])
    await this.restored()
  }

  async lose(families: readonly string[]): Promise<void> {
    const script = families.map((family) => `delete table ${family} ${names.table}\n`).join('')
    await must('nft', ['-f', '-'], { input: script })
  }

  /** Waits until the daemon's rules are in both families. @returns after how many milliseconds */
  async restored(): Promise<number> {
    const began = performance.now()
    while (performance.now() - began < 10_000) {
      const lists = await Promise.all(
        ['bridge', 'inet'].map((family) => program('nft', ['list', 'table', family, names.table])),
      )
      if (
        lists.every(({ stdout }) => /hook prerouting.*\n\s+iifname/.test(stdout)) &&
        lists[0]!.stdout.includes(this.victim.mac)
      )
        return performance.now() - began
    }
    throw new Error('the rules did not come back')
  }

  async #isolate(isolated: boolean): Promise<void> {
    for (const { tap } of [this.mallory, this.victim])
      await writeFile(`/sys/class/net/${tap}/brport/isolated`, isolated ? '1' : '0')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#ends[Symbol.asyncDispose]()
  }
}
