import { lstat, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Network } from '../../core/interfaces/network.ts'
import { Semaphore } from '../../lib/async/locks.ts'
import { runProgram } from '../../lib/process/run.ts'
import { readXml } from '../../lib/text/read-xml.ts'
import type { Vm } from '../../store/index.ts'
import { type Libvirt, LibvirtError, toCroftError, VIR } from '../libvirt/index.ts'
import { boxHost, dhcpHost, type NetworkShape, networkXml } from '../libvirt/network-xml.ts'
import type { Firewall } from './firewall.ts'

const live = VIR.NETWORK_UPDATE_AFFECT_LIVE
const both = live | VIR.NETWORK_UPDATE_AFFECT_CONFIG

/**
 * Makes the VMs' network: libvirt's bridge with DHCP and DNS, and our firewall around it.
 * @param shape includes the prefix of the names of taps @param vms returns all current VMs
 */
export function makeNetwork(
  libvirt: Libvirt,
  firewall: Firewall,
  shape: NetworkShape & { tapPrefix: string },
  vms: () => readonly Vm[],
): Network {
  const { call } = libvirt
  const turn = new Semaphore(1)
  const device = (name: string) => join('/sys/class/net', name)

  /** Returns the taps of running VMs that have lost their bridge; undefined when there is no bridge. */
  async function loose(): Promise<string[] | undefined> {
    if (!(await isThere(device(shape.bridge)))) return undefined
    const taps = (await readdir('/sys/class/net')).filter((name) => name.startsWith(shape.tapPrefix))
    const attached = await Promise.all(taps.map((tap) => isThere(join(device(tap), 'master'))))
    return taps.filter((_, i) => !attached[i])
  }

  /** Attaches a tap to the bridge. libvirt does so when a VM starts, but not when the network starts after the VM. */
  async function attach(tap: string): Promise<void> {
    await runProgram('ip', ['link', 'set', 'dev', tap, 'master', shape.bridge])
    await runProgram('bridge', ['link', 'set', 'dev', tap, 'isolated', 'on'])
  }

  async function find(): Promise<{ uuid: string; active: boolean } | undefined> {
    return call.networkFindByName(shape.name).catch((error) => {
      if (error instanceof LibvirtError && error.codeName === 'NO_NETWORK') return undefined
      throw toCroftError(error)
    })
  }

  async function update(uuid: string, command: number, vm: Pick<Vm, 'mac' | 'ip'>, which = both): Promise<void> {
    await call.networkUpdate(uuid, command, VIR.NETWORK_SECTION_IP_DHCP_HOST, dhcpHost(vm).text, -1, which)
  }

  /** Returns the addresses in the DHCP entries, by MAC. */
  async function entries(uuid: string): Promise<Map<string, string>> {
    const hosts = readXml(await call.networkXml(uuid)).all('ip/dhcp/host')
    return new Map(hosts.map(({ attributes: { mac = '', ip = '' } }) => [mac, ip]))
  }

  return {
    restore: () =>
      turn.run(async () => {
        try {
          await firewall.restore(vms)
          const there = await find()
          // A network that already runs is defined again, too: a change in this Croft takes effect at its next start.
          const uuid = await call.networkDefine(networkXml(shape, vms(), there?.uuid).text)
          // libvirt does not notice that somebody has deleted the bridge.
          const lost = there?.active === true && !(await isThere(device(shape.bridge)))
          if (lost) await call.networkDestroy(uuid)
          if (!there?.active || lost) {
            await call.networkSetAutostart(uuid, true)
            await call.networkStart(uuid)
            for (const tap of (await loose()) ?? []) await attach(tap)
            return
          }
          for (const tap of (await loose()) ?? []) await attach(tap)
          // The definition is right already; now update the running network.
          const known = await entries(there.uuid)
          const hosts = [boxHost(shape.subnet), ...vms()]
          const ours = new Map(hosts.map(({ mac, ip }) => [mac, ip]))
          for (const [mac, ip] of known) {
            if (ours.get(mac) !== ip) await update(there.uuid, VIR.NETWORK_UPDATE_COMMAND_DELETE, { mac, ip }, live)
          }
          for (const host of hosts) {
            if (known.get(host.mac) !== host.ip)
              await update(there.uuid, VIR.NETWORK_UPDATE_COMMAND_ADD_LAST, host, live)
          }
        } catch (error) {
          throw toCroftError(error)
        }
      }),

    async look() {
      if ((await loose())?.length === 0) return true
      await this.restore()
      return false
    },

    async add(vm) {
      try {
        await firewall.add(vm)
        const network = await find()
        // Without this, the VM's start would fail without a reason.
        if (!network?.active || (await loose()) === undefined) await this.restore()
        else if ((await entries(network.uuid)).get(vm.mac) !== vm.ip) {
          await update(network.uuid, VIR.NETWORK_UPDATE_COMMAND_ADD_LAST, vm)
        }
      } catch (error) {
        throw toCroftError(error)
      }
    },

    async remove(vm) {
      try {
        await firewall.remove(vm)
        const network = await find()
        if (network && (await entries(network.uuid)).has(vm.mac)) {
          await update(network.uuid, VIR.NETWORK_UPDATE_COMMAND_DELETE, vm)
        }
      } catch (error) {
        throw toCroftError(error)
      }
    },
  }
}

const isThere = (path: string): Promise<boolean> =>
  lstat(path).then(
    () => true,
    () => false,
  )
