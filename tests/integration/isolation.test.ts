import { readFile, writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { must, names } from '../lib/croft.ts'
import { attacks } from './isolation/attacks/index.ts'
import * as f from './isolation/frames.ts'
import { askDhcp, askDns } from './isolation/questions.ts'
import { Scene, servicePort, webPorts } from './isolation/scene.ts'

/** Mallory is root in its VM and sends what it likes; the victim is its neighbour and should notice nothing. */
let scene: Scene
beforeAll(async () => {
  scene = await Scene.build()
}, 600_000)
afterAll(() => scene?.[Symbol.asyncDispose]())

const hex = (data: Buffer) => data.toString('hex')
/** The fields that a flood varies: [offset, length]. */
const sourceMac = [6, 6]
const dhcpClient = [42 + 28, 6]
const udpSourcePort = [34, 2]
const chaos = 3
const txt = 16

describe('an honest VM', () => {
  test('reaches the outside, where it is seen as the box', async () => {
    const { mallory, outside, box } = scene
    expect(await mallory.station.do('tcp_echo', outside.ip, servicePort, 3, 5)).toBeLessThan(3)
    const token = scene.token()
    await mallory.station.do('say', outside.ip, servicePort, token)
    await outside.station.do('wait', 'service', token, 5)
    expect(await outside.station.do('arrived', token)).toMatchObject({ peer: box.otherIp })
  })

  test('gets answers from the box by DHCP and DNS', async () => {
    const { mallory, box } = scene
    const own = { kind: 'ack', address: mallory.ip }
    expect(await askDhcp(scene, mallory, { kind: 'request', ip: mallory.ip })).toEqual(own)
    expect(await askDhcp(scene, mallory, { kind: 'discover' })).toEqual({ ...own, kind: 'offer' })
    expect(await askDns(scene, mallory, 'version.bind', txt, chaos)).toBe(1)
    expect(await mallory.station.do('reach', 'tcp', [[box.ip, 53]], 5)).toHaveLength(1)
  })

  test("reaches the web's ports at the box's addresses, as itself, and has its ping answered", async () => {
    const { mallory, box } = scene
    for (const ip of [box.ip, box.otherIp]) {
      expect(await mallory.station.do('tcp_echo', ip, webPorts.https, 3, 5)).toBeLessThan(3)
      const token = scene.token()
      await mallory.station.do('say', ip, webPorts.https, token)
      await box.station.do('wait', 'web', token, 5)
      expect(await box.station.do('arrived', token)).toMatchObject({ peer: mallory.ip })
      await mallory.station.run('ping', '-c', '1', '-W', '5', ip)
    }
  })

  test('is reached by the box, and not from outside', async () => {
    const { victim, box, outside } = scene
    const doors = [22, servicePort].map((port) => [victim.ip, port])
    expect(await box.station.do('reach', 'tcp', doors, 5)).toHaveLength(2)
    expect(await outside.station.do('reach', 'tcp', doors, 1)).toEqual([])
  })
})

describe('a hostile VM gets nowhere with', () => {
  test.each(attacks)('$name', async ({ aim, frames }) => {
    const token = scene.token()
    const places = await scene.arrivals(frames(scene, token), token)
    for (const place of [aim, 'victim', 'tap'] as const) expect(places).not.toContain(place)
  })

  test("the victim's address on its own card", async () => {
    const { mallory, victim, box } = scene
    await mallory.station.run('ip', 'addr', 'add', `${victim.ip}/32`, 'dev', 'eth0')
    await must('ip', ['neigh', 'del', victim.ip, 'dev', names.bridge])
    const token = scene.token()
    await box.station.do('say', victim.ip, servicePort, token)
    expect(await victim.station.do('wait', 'service', token, 5)).toBe(true)
    expect(await must('ip', ['neigh', 'show', victim.ip])).toContain(victim.mac)
    await mallory.station.run('ip', 'addr', 'del', `${victim.ip}/32`, 'dev', 'eth0')
    await scene.introduce()
  })

  test('its tap taken from the bridge, so that the box itself would be the other end', async () => {
    const { mallory, box } = scene
    const token = scene.token()
    const tap = `/sys/class/net/${mallory.tap}`
    const number = async (path: string) => Number(await readFile(path, 'utf8'))
    const tapMac = (await readFile(`${tap}/address`, 'utf8')).trim()
    const frame = hex(f.ethernet(mallory.mac, tapMac, f.type.ip, f.udp(mallory.ip, box.otherIp, servicePort, token)))
    const flood = mallory.station.do('flood', 'eth0', frame, 5000, [])
    expect(await box.station.do('wait', 'box', token, 5)).toBe(true)
    await must('ip', ['link', 'set', mallory.tap, 'nomaster'])
    const before = await number(`${tap}/statistics/rx_packets`)
    await expect.poll(() => number(`${tap}/statistics/rx_packets`), { timeout: 5000 }).toBeGreaterThan(before + 100)
    await must('ip', ['link', 'set', mallory.tap, 'master', names.bridge])
    await writeFile(`${tap}/brport/isolated`, '1')
    await flood
    await scene.settle()
    expect(await box.station.do('arrived', token)).toMatchObject({ places: ['box'] })
  })

  test('a scan of the box, which answers nothing but DNS, and the web at each of its addresses', async () => {
    const { mallory, box, croft } = scene
    const web = Object.values(webPorts)
    const special = [2019, 5900, 16509, 16514, croft.port, servicePort, ...web]
    const listed: any[] = JSON.parse(await must('ip', ['-j', '-4', 'addr', 'show', 'scope', 'global']))
    const others = listed.flatMap(({ addr_info }) => addr_info.map(({ local }: any) => local))
    expect(others).toContain(box.otherIp)
    const targets = others.flatMap((ip) => [22, 53, 80, 443, ...special].map((port) => [ip, port]))
    const low = Array.from({ length: 1024 }, (_, i) => [box.ip, i + 1])
    const found: [string, number][] = await mallory.station.do('reach', 'tcp', [...low, ...targets], 1)
    const open = [[box.ip, 53], ...others.flatMap((ip) => web.map((port) => [ip, port]))]
    expect(new Set(found.map(String))).toEqual(new Set(open.map(String)))
    const udp = [69, 111, 123, 137, 161, 500, 514, 1900, 5353, servicePort]
    const asked = others.flatMap((ip) => udp.map((port) => [ip, port]))
    expect(await mallory.station.do('reach', 'udp', asked, 1)).toEqual([])
  })

  test('a packet to the box that looks like an answer: not even a refusal comes back', async () => {
    expect(await answersStrayAck()).toBe(false)
  })

  test("an ICMP error about a connection of the box's to the outside", async () => {
    expect(await lowersMtu()).toBe(false)
  })

  test('asking for the names of others', async () => {
    const { mallory, victim } = scene
    const ack = await askDhcp(scene, victim, { kind: 'request', ip: victim.ip, hostname: 'secret' })
    expect(ack).toMatchObject({ kind: 'ack' })
    for (const name of ['secret', 'victim', 'croft-victim']) expect(await askDns(scene, mallory, name)).toBeFalsy()
    const reverse = `${victim.ip.split('.').reverse().join('.')}.in-addr.arpa`
    expect(await askDns(scene, mallory, reverse, 12)).toBeFalsy()
  })

  test("the victim's client identifier: the lease stays the victim's", async () => {
    const { mallory, victim, box } = scene
    const clientId = Buffer.concat([Buffer.from([1]), f.macBytes(victim.mac)])
    const mine = await askDhcp(scene, victim, { kind: 'request', ip: victim.ip, clientId })
    expect(mine).toEqual({ kind: 'ack', address: victim.ip })
    const stolen = await askDhcp(scene, mallory, { kind: 'request', address: victim.ip, server: box.ip, clientId })
    expect(stolen?.kind).not.toBe('ack')
    const release = { kind: 'release', mac: mallory.mac, ip: victim.ip, server: box.ip, clientId } as const
    await scene.send([scene.viaBox(f.dhcpPacket(mallory.ip, box.ip, release, scene.token()))])
    await scene.settle()
    expect(await must('virsh', ['-q', 'net-dhcp-leases', names.name])).toContain(victim.mac)
  })
})

describe('while Mallory floods', () => {
  test('DHCP with invented clients, nobody else gets an address, and a new VM and the victim get theirs', async () => {
    const { mallory, victim, croft, box } = scene
    const discover = (mac: string) =>
      hex(
        f.ethernet(
          mallory.mac,
          f.broadcast,
          f.type.ip,
          f.dhcpPacket('0.0.0.0', '255.255.255.255', { kind: 'discover', mac }, 'x'),
        ),
      )
    const floods = [
      mallory.station.do('flood', 'eth0', discover('52:54:00:00:00:00'), 3000, [dhcpClient]),
      mallory.station.do('flood', 'eth0', discover('52:54:00:00:00:00'), 3000, [sourceMac, dhcpClient]),
      mallory.station.do('flood', 'eth0', discover(mallory.mac), 3000, []),
    ]
    const made = croft.do('new', 'third')
    expect(await askDhcp(scene, victim, { kind: 'request', ip: victim.ip })).toMatchObject({ kind: 'ack' })
    await Promise.all([...floods, made])
    const third = Object.values((await croft.state()).vms).find((vm) => vm.name === 'third')!
    expect(await croft.do('exec', 'third', 'ip -4 -o addr show eth0')).toContain(`inet ${third.ip}/`)
    const leases = await must('virsh', ['-q', 'net-dhcp-leases', names.name])
    const given = new Set(leases.match(/(?:[0-9a-f]{2}:){5}[0-9a-f]{2}(?=\s+ipv4)/g))
    expect(given).toContain(victim.mac)
    expect(given).toContain(third.mac)
    expect([victim.mac, third.mac, mallory.mac]).toEqual(expect.arrayContaining([...given]))
    expect(await askDns(scene, victim, 'version.bind', txt, chaos)).toBe(1)
    await croft.do('rm', 'third', '--yes')
    expect(await box.station.do('reach', 'tcp', [[victim.ip, 22]], 5)).toHaveLength(1)
  })

  test('source MACs, the bridge learns none of them', async () => {
    const { mallory, outside } = scene
    const before = await forwardingEntries()
    const frame = hex(scene.viaBox(f.udp(mallory.ip, outside.ip, 9, 'x')))
    await mallory.station.do('flood', 'eth0', frame, 5000, [sourceMac])
    await scene.settle()
    expect(await forwardingEntries()).toBe(before)
  })

  test('the outside and the victim, the victim goes on with both', async () => {
    const { mallory, victim, outside, box } = scene
    const syn = f.tcp(mallory.ip, outside.ip, servicePort, f.tcpFlag.syn, '')
    const frames = [f.udp(mallory.ip, outside.ip, 9, 'x'.repeat(1000)), syn, f.udp(mallory.ip, victim.ip, 9, 'x')]
    const floods = frames.map((packet) => mallory.station.do('flood', 'eth0', hex(scene.viaBox(packet)), 10_000, []))
    const patience = 5
    const exchanges = await Promise.all([
      victim.station.do('tcp_echo', outside.ip, servicePort, 20, patience),
      box.station.do('tcp_echo', victim.ip, servicePort, 20, patience),
    ])
    expect(Math.max(...exchanges)).toBeLessThan(patience)
    await Promise.all(floods)
  })

  test('connections, the box still has room to track those of others', async () => {
    const { mallory, victim, outside } = scene
    const frame = hex(scene.viaBox(f.udp(mallory.ip, outside.ip, 9, 'x')))
    await mallory.station.do('flood', 'eth0', frame, 12_000, [udpSourcePort])
    const table = await readFile('/proc/net/nf_conntrack', 'utf8')
    const mine = table.split('\n').filter((line) => line.includes(`src=${mallory.ip} dst=${outside.ip}`)).length
    expect(mine).toBeGreaterThan(3000)
    expect(mine).toBeLessThan(4500)
    expect(await victim.station.do('reach', 'tcp', [[outside.ip, servicePort]], 5)).toHaveLength(1)
  })
})

describe('the rules come back within two seconds', () => {
  const spoof = (token: string) => scene.viaBox(f.udp(scene.victim.ip, scene.outside.ip, 9, token))
  const losses: [string, () => Promise<unknown>][] = [
    ['the bridge table is deleted', () => scene.lose(['bridge'])],
    ['the inet table is deleted', () => scene.lose(['inet'])],
    ['both tables are deleted', () => scene.lose(['bridge', 'inet'])],
    ['the ruleset is replaced by one saved earlier, with old tables of ours', loadOldTables],
    ['the whole ruleset is flushed', flushEverything],
  ]
  test.each(losses)('when %s', async (_, lose) => {
    using events = await scene.croft.events()
    await lose()
    expect(await scene.restored()).toBeLessThan(2000)
    await events.until((event) => event.type === 'box.warning' && /firewall/.test(event.message))
    const token = scene.token()
    expect(await scene.arrivals([spoof(token)], token)).not.toContain('outside')
  })

  test('and libvirt has none of its own for our network, to lose or to mend', async () => {
    const ruleset = await must('nft', ['list', 'ruleset'])
    const foreign = ruleset.split(/^(?=table )/m).filter((table) => !table.split('\n')[0]!.includes(` ${names.table} `))
    for (const word of [names.bridge, scene.box.ip, names.subnet]) expect(foreign.join()).not.toContain(word)
  })
})

describe('with our firewall open, and the ports not isolated, a hostile VM would get through with', () => {
  beforeAll(() => scene.open())
  afterAll(() => scene.close())

  test.each(attacks)('$name', async ({ aim, frames }) => {
    const token = scene.token()
    expect(await scene.arrivals(frames(scene, token), token)).toContain(aim)
  })

  test('a scan of the box', async () => {
    const { mallory, box } = scene
    const targets = [box.ip, box.otherIp].flatMap((ip) => [servicePort, 1].map((port) => [ip, port]))
    expect(await mallory.station.do('reach', 'tcp', targets, 5)).toHaveLength(4)
    // The kernel limits how many UDP refusals it sends.
    expect(await mallory.station.do('reach', 'udp', targets, 3)).toContainEqual([box.ip, servicePort])
  })

  test("an ICMP error about a connection of the box's to the outside", async () => {
    expect(await lowersMtu()).toBe(true)
  })

  test('a packet to the box that looks like an answer', async () => {
    expect(await answersStrayAck()).toBe(true)
  })

  test('source MACs, which the bridge would learn', async () => {
    const before = await forwardingEntries()
    const frame = hex(scene.viaBox(f.udp(scene.mallory.ip, scene.outside.ip, 9, 'x')))
    await scene.mallory.station.do('flood', 'eth0', frame.replace(/^(.{12}).{12}/, '$102005e000000'), 20, [[9, 3]])
    await scene.settle()
    expect(await forwardingEntries()).toBeGreaterThan(before + 10)
  })
})

/** Mallory tells the box that its packets to the outside host are too big. @returns whether the box believes it */
async function lowersMtu(): Promise<boolean> {
  const { mallory, box, outside } = scene
  const fromPort = 41_000
  const token = scene.token()
  await outside.station.do('say', box.otherIp, servicePort, token, fromPort)
  await box.station.do('wait', 'service', token, 5)
  const about = f.udp(box.otherIp, outside.ip, fromPort, token, { fromPort: servicePort })
  await scene.send([scene.viaBox(f.tooBig(mallory.ip, box.otherIp, 700, about))])
  await scene.settle()
  const believed = (await must('ip', ['route', 'get', outside.ip])).includes('mtu 700')
  await must('ip', ['route', 'flush', 'cache'])
  return believed
}

/** Whether the box answers a TCP packet that belongs to no connection. */
async function answersStrayAck(): Promise<boolean> {
  const { mallory, box } = scene
  const packet = f.tcp(mallory.ip, box.ip, servicePort, f.tcpFlag.ack, '')
  const [from, to, port, toPort] = [
    packet.subarray(12, 16),
    packet.subarray(16, 20),
    packet.subarray(20, 22),
    packet.subarray(22, 24),
  ]
  const match = hex(Buffer.concat([to, from, toPort, port]))
  return (await mallory.station.do('ask', 'eth0', hex(scene.viaBox(packet)), match, 1)) !== null
}

async function forwardingEntries(): Promise<number> {
  return (await must('bridge', ['fdb', 'show', 'br', names.bridge])).trim().split('\n').length
}

/** Does what `nft -f /etc/nftables.conf` does when somebody has saved the ruleset there. */
async function loadOldTables(): Promise<void> {
  const saved = await Promise.all(
    ['bridge', 'inet'].map((family) => must('nft', ['list', 'table', family, names.table])),
  )
  const old = saved.join('').replace(/comment "croft [^"]*"/g, 'comment "croft of yesterday"')
  const empty = old.replace(/elements = \{[^}]*\}/g, '')
  await must('nft', ['-f', '-'], {
    input: `delete table bridge ${names.table}\ndelete table inet ${names.table}\n${empty}`,
  })
}

/**
 * Does what a firewall reload does: replaces all tables at one moment. Those of other programs are kept as they were.
 */
async function flushEverything(): Promise<void> {
  const tables = (await must('nft', ['list', 'tables'])).match(/^table \S+ \S+/gm) ?? []
  const foreign = tables.filter((table) => !table.endsWith(` ${names.table}`))
  const saved = await Promise.all(foreign.map((table) => must('nft', ['list', ...table.split(' ')])))
  await must('nft', ['-f', '-'], { input: `flush ruleset\n${saved.join('')}` })
}
