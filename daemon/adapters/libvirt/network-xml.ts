import { boxAddress, netmask, type Subnet } from '../../core/vm/identity.ts'
import { type Xml, xml } from '../../lib/xml.ts'
import type { Vm } from '../../store/index.ts'

export interface NetworkShape {
  name: string
  bridge: string
  subnet: Subnet
}

/**
 * The VMs' network: a bridge with DHCP for known VMs only and DNS. `forward mode="open"` means that libvirt routes
 * but leaves the firewall alone: all rules are Croft's own (see host/firewall.ts).
 *
 * What dnsmasq shall not believe or tell: the name that a VM gives itself would be a DNS name for all the others; by
 * its client identifier a VM could speak of another's lease, while its MAC is checked; the box's /etc/hosts is the box's.
 * Format: https://libvirt.org/formatnetwork.html
 * @param uuid of the network when there is one by this name: to libvirt, one without is another network, options: dnsmasq(8)
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
 * The box among the hosts that DHCP knows, by a MAC that nobody has: libvirt gives its dnsmasq a new list at once, but
 * to go from none to one, or back, it is started anew, which takes it up to two seconds.
 */
export const boxHost = (subnet: Subnet): Pick<Vm, 'mac' | 'ip'> => ({
  mac: '52:54:00:00:00:00',
  ip: boxAddress(subnet),
})

/** A VM's fixed address. Its name is left out: it would be a DNS name that every other VM could look up. */
export function dhcpHost(vm: Pick<Vm, 'mac' | 'ip'>): Xml {
  return xml`<host mac="${vm.mac}" ip="${vm.ip}"/>`
}
