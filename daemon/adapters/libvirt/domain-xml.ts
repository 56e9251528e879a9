import { createHash, randomUUID } from 'node:crypto'
import type { DomainSpec } from '../../core/interfaces/hypervisor.ts'
import { type Xml, xml } from '../../lib/text/xml.ts'
import type { Vm } from '../../store/index.ts'

/** What the box adds to every domain. */
export interface BoxShape {
  /** Marks the domains of one state folder. */
  instance: string
  accelerator: 'kvm' | 'tcg'
  /** Digest of `devicesText`. */
  devices: string
  /** Versioned machine type, such as pc-q35-7.2: a VM keeps its hardware when QEMU is upgraded. */
  machine: string
  emulator: string
  /** Name of the libvirt network. */
  network: string
  /** Prefix of the taps' names; with the 10 characters of an id it must have fewer than 16. */
  tapPrefix: string
  /** The state folder. */
  folder: string
  /** The user that QEMU runs as. libvirt must not change the owners of files: no VM's QEMU may own what others boot. */
  qemu: { uid: number; gid: number }
}

/** A memory base that a domain's QEMU maps. */
export interface MappedBase {
  id: string
  /** Path of its file, and of the library that maps it. */
  file: string
  library: string
}

export const metadataNamespace = 'urn:croft:vm:1'

export const domainName = (vm: Pick<Vm, 'id'>): string => `croft-${vm.id}`
export const tapName = (prefix: string, vm: Pick<Vm, 'id'>): string => prefix + vm.id.slice(3)
export const vmFolder = (folder: string, vm: Pick<Vm, 'id'>): string => `${folder}/vms/${vm.id}`
export const consoleLogPath = (folder: string, vm: Pick<Vm, 'id'>): string => `${vmFolder(folder, vm)}/console.log`
export const consoleSocketPath = (folder: string, vm: Pick<Vm, 'id'>): string => `${vmFolder(folder, vm)}/console.sock`

/**
 * Returns the libvirt domain of a VM: q35 with few virtio devices, booted directly from the image's kernel. No memory
 * is preallocated, free pages are reported to the box, and discards reach the file. The kernel's command line names no
 * VM, because a fork keeps its parent's for as long as it runs. Pure.
 * @param genid tells a guest that loads saved memory that it is another VM now, so that its kernel reseeds its random
 * numbers
 * @param base the memory base that is mapped, for a domain that loads saved memory
 * Format: https://libvirt.org/formatdomain.html
 */
export function domainXml(
  { vm, image, disk, hardware }: DomainSpec,
  shape: BoxShape,
  genid: string = randomUUID(),
  base?: MappedBase,
): Xml {
  const kvm = shape.accelerator === 'kvm'
  const { cpus, memoryMiB } = hardware ?? vm.limits
  return xml`<domain type="${kvm ? 'kvm' : 'qemu'}"${base && xml` xmlns:qemu="http://libvirt.org/schemas/domain/qemu/1.0"`}>
  <name>${domainName(vm)}</name>
  <uuid>${vm.uuid}</uuid>
  <genid>${genid}</genid>
  <title>${vm.name}</title>
  <metadata><croft:vm xmlns:croft="${metadataNamespace}" instance="${shape.instance}" id="${vm.id}" devices="${shape.devices}"${base && xml` base="${base.id}"`}/></metadata>
  <memory unit="MiB">${memoryMiB}</memory>
  <vcpu>${cpus}</vcpu>
  <os>
    <type arch="x86_64" machine="${hardware?.machine ?? shape.machine}">hvm</type>
    <kernel>${shape.folder}/${image.kernel}</kernel>
    <initrd>${shape.folder}/${image.initrd}</initrd>
    <cmdline>${image.cmdline}</cmdline>
  </os>
  <features>
    <acpi/>
    <apic/>
    ${kvm ? undefined : xml`<tcg><tb-cache unit="MiB">128</tb-cache></tcg>`}
  </features>
  ${kvm ? xml`<cpu mode="host-passthrough" check="none" migratable="on"/>` : undefined}
  <clock offset="utc">
    <timer name="rtc" tickpolicy="catchup"/>
    <timer name="pit" tickpolicy="delay"/>
    <timer name="hpet" present="no"/>
  </clock>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <pm>
    <suspend-to-mem enabled="no"/>
    <suspend-to-disk enabled="no"/>
  </pm>
  <devices>
    <emulator>${shape.emulator}</emulator>
    <disk type="file" device="disk">
      <driver name="qemu" type="qcow2" discard="unmap" detect_zeroes="unmap" cache="writeback" error_policy="enospace"/>
      <source file="${shape.folder}/${disk.file}"/>
      <target dev="vda" bus="virtio"/>
      ${onBus(3)}
    </disk>
    <controller type="pci" index="0" model="pcie-root"/>
    ${[1, 2, 3, 4, 5].map(rootPort)}
    <controller type="virtio-serial" index="0">${onBus(2)}</controller>
    <interface type="network">
      <mac address="${vm.mac}"/>
      <source network="${shape.network}"/>
      <target dev="${tapName(shape.tapPrefix, vm)}"/>
      <model type="virtio"/>
      <rom enabled="no"/>
      <port isolated="yes"/>
      ${onBus(1)}
    </interface>
    <serial type="unix">
      <source mode="bind" path="${consoleSocketPath(shape.folder, vm)}"/>
      <log file="${consoleLogPath(shape.folder, vm)}" append="on"/>
      <target type="isa-serial" port="0"/>
    </serial>
    <console type="unix">
      <target type="serial" port="0"/>
    </console>
    <channel type="unix">
      <target type="virtio" name="org.qemu.guest_agent.0"/>
      <address type="virtio-serial" controller="0" bus="0" port="1"/>
    </channel>
    <controller type="usb" model="none"/>
    <input type="mouse" bus="ps2"/>
    <memballoon model="virtio" autodeflate="on" freePageReporting="on">
      <stats period="10"/>
      ${onBus(4)}
    </memballoon>
    <rng model="virtio"><backend model="random">/dev/urandom</backend>${onBus(5)}</rng>
    <panic model="isa"/>
  </devices>
  <seclabel type="static" model="dac" relabel="no"><label>+${shape.qemu.uid}:+${shape.qemu.gid}</label></seclabel>${
    base &&
    xml`
  <qemu:commandline>
    <qemu:env name="LD_PRELOAD" value="${base.library}"/>
    <qemu:env name="CROFT_MEMORY_BASE" value="${base.file}"/>
  </qemu:commandline>`
  }
</domain>`
}

/**
 * Returns the parts of a domain that saved memory depends on: its XML without everything that differs between VMs or
 * boxes, and without the hardware that is recorded separately. Pure.
 */
export function devicesText(accelerator: BoxShape['accelerator']): string {
  const nobody = { id: 'vm_aaaaaaaaaa', uuid: '', name: '', mac: '' }
  const vm = { ...nobody, limits: { cpus: 0, memoryMiB: 0 } } as Vm
  const image = { kernel: '', initrd: '', cmdline: '' } as DomainSpec['image']
  const names = { instance: '', devices: '', machine: '', emulator: '', network: '', tapPrefix: '', folder: '' }
  const shape = { ...names, accelerator, qemu: { uid: 0, gid: 0 } }
  return domainXml({ vm, image, disk: { file: '' } as DomainSpec['disk'] }, shape, '').text
}

export const digest = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 16)

/** Saved memory depends on the devices' addresses, so Croft sets them: libvirt's own choice may change. */
const rootPort = (bus: number): Xml =>
  xml`<controller type="pci" index="${bus}" model="pcie-root-port">
      <target chassis="${bus}" port="0x${(7 + bus).toString(16)}"/>
      <address type="pci" domain="0" bus="0" slot="1" function="${bus - 1}"${bus === 1 ? xml` multifunction="on"` : undefined}/>
    </controller>
    `
const onBus = (bus: number): Xml => xml`<address type="pci" domain="0" bus="${bus}" slot="0" function="0"/>`
