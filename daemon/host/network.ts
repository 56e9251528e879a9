import type { Network } from '../box/ports.ts'
import { type Libvirt, LibvirtError, toCroftError, VIR } from '../libvirt/index.ts'
import { boxHost, dhcpHost, type NetworkShape, networkXml } from '../libvirt/network-xml.ts'
import type { Vm } from '../store/index.ts'
import type { Firewall } from './firewall.ts'

const live = VIR.NETWORK_UPDATE_AFFECT_LIVE
const both = live | VIR.NETWORK_UPDATE_AFFECT_CONFIG

/** The VMs' network: libvirt's bridge with its DHCP and DNS, and our firewall around it. */
export function makeNetwork(libvirt: Libvirt, firewall: Firewall, shape: NetworkShape): Network {
  const { call } = libvirt

  async function find(): Promise<{ uuid: string; active: boolean } | undefined> {
    return call.networkFindByName(shape.name).catch((error) => {
      if (error instanceof LibvirtError && error.codeName === 'NO_NETWORK') return undefined
      throw toCroftError(error)
    })
  }

  async function update(uuid: string, command: number, vm: Pick<Vm, 'mac' | 'ip'>, which = both): Promise<void> {
    await call.networkUpdate(uuid, command, VIR.NETWORK_SECTION_IP_DHCP_HOST, dhcpHost(vm).text, -1, which)
  }

  /** The MACs that have a DHCP entry. Ours is the only writer, so its form is known. */
  async function entries(uuid: string): Promise<Map<string, string>> {
    const text = await call.networkXml(uuid)
    return new Map([...text.matchAll(/<host mac='([^']+)' ip='([^']+)'\/>/g)].map((match) => [match[1]!, match[2]!]))
  }

  return {
    async restore(current) {
      try {
        await firewall.restore(current)
        const there = await find()
        const vms = current()
        // Also for a network that runs: what this Croft defines differently takes effect at its next start.
        const uuid = await call.networkDefine(networkXml(shape, vms, there?.uuid).text)
        if (!there?.active) {
          await call.networkSetAutostart(uuid, true)
          await call.networkStart(uuid)
          return
        }
        // The definition is right already; what runs follows.
        const known = await entries(there.uuid)
        const hosts = [boxHost(shape.subnet), ...vms]
        const ours = new Map(hosts.map(({ mac, ip }) => [mac, ip]))
        for (const [mac, ip] of known) {
          if (ours.get(mac) !== ip) await update(there.uuid, VIR.NETWORK_UPDATE_COMMAND_DELETE, { mac, ip }, live)
        }
        for (const host of hosts) {
          if (known.get(host.mac) !== host.ip) await update(there.uuid, VIR.NETWORK_UPDATE_COMMAND_ADD_LAST, host, live)
        }
      } catch (error) {
        throw toCroftError(error)
      }
    },

    async add(vm) {
      try {
        await firewall.add(vm)
        const network = await find()
        if (network && (await entries(network.uuid)).get(vm.mac) !== vm.ip) {
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
