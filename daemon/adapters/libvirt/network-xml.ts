import { boxAddress, netmask, type Subnet } from '../../core/vm/identity.ts'
import { type Xml, xml } from '../../lib/text/xml.ts'
import type { Vm } from '../../store/index.ts'

export interface NetworkShape {
  name: string
  bridge: string
  subnet: Subnet
}

/**
 * Returns the VMs' network: a bridge with DNS, and with DHCP for known VMs only. With `forward mode="open"`, libvirt
 * routes but leaves the firewall alone: all rules are Croft's own (see network/firewall.ts).
 *
 * The options keep dnsmasq from trusting VMs and from telling about the box: a name that a VM gives itself would become
 * a DNS name for all the others; with a client identifier, a VM could claim another's lease, whereas its MAC is
 * checked; and the box's /etc/hosts is not for VMs. Format: https://libvirt.org/formatnetwork.html, options: dnsmasq(8)
 * @param uuid of the existing network of this name; without it, libvirt takes this for another network
 */
export function networkXml(shape: NetworkShape, vms: readonly Vm[], uuid?: string): Xml {
  return xml`<network xmlns:dnsmasq="http://libvirt.org/schemas/network/dnsmasq/1.0">
  <name>${shape.name}</name>
  ${uuid && xml`<uuid>${uuid}</uuid>`}
  <forward mode="open"/>
  <bridge name="${shape.bridge}" stp="off" delay="0"/>
  <dns enable="yes"/>
  <ip address="${boxAddress(shape.subnet)}" netmask="${netmask(shape.subnet)}">
    <dhcp>${[boxHost(shape.subnet), ...vms].map(dhcpHost)}</dhcp>
  </ip>
  <dnsmasq:options>
    <dnsmasq:option value="dhcp-ignore-names"/>
    <dnsmasq:option value="dhcp-ignore-clid"/>
    <dnsmasq:option value="no-hosts"/>
  </dnsmasq:options>
</network>`
}

/**
 * The DHCP entry for the box, with a MAC that nobody has. It keeps the list from being empty: libvirt passes a new list
 * to dnsmasq immediately, but from none to one, or back, it restarts dnsmasq, which takes up to two seconds.
 */
export const boxHost = (subnet: Subnet): Pick<Vm, 'mac' | 'ip'> => ({
  mac: '52:54:00:00:00:00',
  ip: boxAddress(subnet),
})

/** Returns the entry with a VM's fixed address. Its name is left out, as all other VMs could look it up by DNS. */
export function dhcpHost(vm: Pick<Vm, 'mac' | 'ip'>): Xml {
  return xml`<host mac="${vm.mac}" ip="${vm.ip}"/>`
}
