import type { Network } from '../box/ports.ts'
import { type Libvirt, LibvirtError, toCroftError, VIR } from '../libvirt/index.ts'
import { dhcpHost, type NetworkShape, networkXml } from '../libvirt/network-xml.ts'
import type { Vm } from '../store/index.ts'
import type { Firewall } from './firewall.ts'

const both = VIR.NETWORK_UPDATE_AFFECT_LIVE | VIR.NETWORK_UPDATE_AFFECT_CONFIG

/** The VMs' network: libvirt's bridge with its DHCP and DNS, and our firewall around it. */
export function makeNetwork(libvirt: Libvirt, firewall: Firewall, shape: NetworkShape): Network {
  const { call } = libvirt

  async function find(): Promise<{ uuid: string; active: boolean } | undefined> {
    return call.networkFindByName(shape.name).catch((error) => {
      if (error instanceof LibvirtError && error.codeName === 'NO_NETWORK') return undefined
      throw toCroftError(error)
    })
  }

  async function update(uuid: string, command: number, vm: Pick<Vm, 'mac' | 'ip'>): Promise<void> {
    await call.networkUpdate(uuid, command, VIR.NETWORK_SECTION_IP_DHCP_HOST, dhcpHost(vm).text, -1, both)
  }

  /** The MACs that have a DHCP entry. Ours is the only writer, so its form is known. */
  async function entries(uuid: string): Promise<Map<string, string>> {
    const text = await call.networkXml(uuid)
    return new Map([...text.matchAll(/<host mac='([^']+)' ip='([^']+)'\/>/g)].map((match) => [match[1]!, match[2]!]))
  }

  async function add(uuid: string, vm: Vm): Promise<void> {
    if ((await entries(uuid)).get(vm.mac) === vm.ip) return
    await update(uuid, VIR.NETWORK_UPDATE_COMMAND_ADD_LAST, vm)
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
        const known = await entries(there.uuid)
        for (const vm of vms) if (known.get(vm.mac) !== vm.ip) await add(there.uuid, vm)
        const ours = new Set(vms.map((vm) => vm.mac))
        for (const [mac, ip] of known) {
          if (!ours.has(mac)) await update(there.uuid, VIR.NETWORK_UPDATE_COMMAND_DELETE, { mac, ip })
        }
      } catch (error) {
        throw toCroftError(error)
      }
    },

    async add(vm) {
      try {
        await firewall.add(vm)
        const network = await find()
        if (network) await add(network.uuid, vm)
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
