import { afterEach, describe, expect, test } from 'vitest'
import { parseSubnet } from '../../core/vm/identity.ts'
import { runProgram } from '../../lib/process/run.ts'
import { noRates, type Vm } from '../../store/index.ts'
import { Firewall, firewallScript } from './firewall.ts'

const shape = {
  table: `crofttest${process.pid}`,
  bridge: 'crofttest0',
  tapPrefix: 'cx-',
  subnet: parseSubnet('10.77.0.0/16'),
  web: { http: 80, https: 443 },
}
const vm = (id: string, mac: string, ip: string) => ({ id: `vm_${id}`, mac, ip, rates: noRates }) as Vm
const web = vm('aaaaaaaaaa', '52:54:00:00:00:01', '10.77.0.2')
const shop = vm('bbbbbbbbbb', '52:54:00:00:00:02', '10.77.0.3')

describe('the script', () => {
  test('ties a VM to its tap, MAC and address, and its DHCP requests to its MAC', () => {
    const script = firewallScript(shape, [web, shop], 'stamp')
    expect(script).toContain('"cx-aaaaaaaaaa" . 52:54:00:00:00:01 . 10.77.0.2, "cx-bbbbbbbbbb"')
    expect(script).toContain('"cx-bbbbbbbbbb" . 52:54:00:00:00:02 . 0x525400000002')
  })

  test('ends each chain for packets from VMs with a drop', () => {
    const script = firewallScript(shape, [], 'stamp')
    for (const name of ['from-vm', 'arp-from-vm', 'arp-of-vm', 'dhcp-from-vm', 'dhcp-of-vm', 'from-vms'])
      expect(script.split(`chain ${name} {\n`)[1]!.split('\n  }\n')[0]).toMatch(/\n {4}drop$/)
  })

  test('lets VMs reach the web only where it is served, and by that rule alone', () => {
    const ways = (web: typeof shape.web | false) => {
      const script = firewallScript({ ...shape, web }, [], 'stamp')
      return script.match(/.* goto as-any-client/g)?.map((line) => line.trim())
    }
    const ping = 'icmp type echo-request goto as-any-client'
    const served = ['tcp dport { 80, 443 } goto as-any-client', 'udp dport 443 goto as-any-client']
    expect(ways(shape.web)).toEqual([ping, ...served])
    expect(ways(false)).toEqual([ping])
  })

  test('names no table but ours', () => {
    const tables = firewallScript(shape, [web], 'stamp').match(/table \w+ \w+/g)
    expect(new Set(tables)).toEqual(new Set([`table bridge ${shape.table}`, `table inet ${shape.table}`]))
  })
})

// Taps and bridge of these names don't exist, so that the rules touch no packet.
describe.skipIf(process.getuid?.() !== 0)('in the kernel', () => {
  const firewall = new Firewall(shape)
  const list = async (family = 'bridge') => (await runProgram('nft', ['list', 'table', family, shape.table])).stdout
  const load = (input: string) => runProgram('nft', ['-f', '-'], { input })
  afterEach(() => firewall.clear())

  test('the tables are made, made again, and cleared', async () => {
    expect(await firewall.standing()).toBe(false)
    await firewall.restore(() => [web])
    expect(await firewall.standing()).toBe(true)
    await firewall.restore(() => [web, shop])
    expect(await firewall.standing()).toBe(true)
    await firewall.clear()
    expect(await firewall.standing()).toBe(false)
  })

  test('adding and removing a VM are idempotent', async () => {
    await firewall.restore(() => [web])
    for (let i = 0; i < 2; i++) await firewall.add(shop)
    expect(await list()).toMatch(/cx-bbbbbbbbbb.* 10\.77\.0\.3/)
    expect(await list()).toContain('0x525400000002')
    for (let i = 0; i < 2; i++) await firewall.remove(shop)
    expect(await list()).not.toContain('cx-bbbbbbbbbb')
    expect(await firewall.standing()).toBe(true)
  })

  test('a VM’s traffic is limited, limited differently, and no longer limited', async () => {
    const limited = (netBitsPerS: number | null) => ({ ...shop, rates: { ...noRates, netBitsPerS } })
    const limits = async () =>
      [...(await list()).matchAll(/limit (\S+) \{\s+rate over (.+)\/second/g)].map((each) => each.slice(1, 3))
    const both = (rate: string) => [
      ['from-vm_bbbbbbbbbb', rate],
      ['to-vm_bbbbbbbbbb', rate],
    ]
    await firewall.restore(() => [web, limited(16e6)])
    expect(await limits()).toEqual(both('2000000 bytes'))
    for (let i = 0; i < 2; i++) await firewall.add(limited(8e6))
    expect(await limits()).toEqual(both('1000000 bytes'))
    await firewall.add(limited(null))
    expect(await limits()).toEqual([])
    await firewall.add(limited(8e6))
    for (let i = 0; i < 2; i++) await firewall.remove(limited(8e6))
    expect(await list()).not.toContain('bbbbbbbbbb')
    expect(await firewall.standing()).toBe(true)
  })

  test('making the tables again keeps the UDP clients that were cut off and those that were heard', async () => {
    await firewall.restore(() => [])
    await firewall.silence(['192.0.2.1:443', '[fe80::1%eth0]:65535'])
    await load(
      `add element inet ${shape.table} heard4 { 192.0.2.2 . 7 }\nadd element inet ${shape.table} heard6 { ::1 . 8 }`,
    )
    const clients = { heard: ['192.0.2.2:7', '[::1]:8'], silent: ['192.0.2.1:443', '[fe80::1]:65535'] }
    for (let i = 0; i < 2; i++) {
      expect(await firewall.quicClients()).toEqual(clients)
      await firewall.restore(() => [web])
    }
    await firewall.silence(['192.0.2.1:443'])
    expect(await firewall.quicClients()).toEqual(clients)
    await firewall.clear()
    expect(await firewall.quicClients()).toEqual({ heard: [], silent: [] })
  })

  test.each(['bridge', 'inet'])('one table missing is a loss: %s', async (family) => {
    await firewall.restore(() => [web])
    await load(`delete table ${family} ${shape.table}`)
    expect(await firewall.standing()).toBe(false)
  })

  test('tables of an earlier time, loaded again, are a loss too', async () => {
    await firewall.restore(() => [web])
    const early = await Promise.all([list(), list('inet')])
    const reload = () => load(`delete table bridge ${shape.table}\ndelete table inet ${shape.table}\n${early.join('')}`)
    await firewall.add(shop)
    await reload()
    expect(await firewall.standing()).toBe(false)
    await firewall.restore(() => [web])
    await reload()
    expect(await firewall.standing()).toBe(false)
  })

  test('a loss is reported', async () => {
    await firewall.restore(() => [web])
    const told = Promise.withResolvers<void>()
    const end = firewall.watch(told.resolve)
    // The watch begins a moment later, and doesn't say when.
    const again = setInterval(() => {
      load(`table inet ${shape.table}\ndelete table inet ${shape.table}`).catch(told.reject)
    }, 100)
    await told.promise
    clearInterval(again)
    end()
  })
})
