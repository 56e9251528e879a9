import { readFile } from 'node:fs/promises'
import { domainName } from '../libvirt/domain-xml.ts'

/** Returns the process ID of a VM's QEMU. @throws when it has none */
export const pidOf = (vm: { id: string }): Promise<number> => pidOfDomain(domainName(vm))

/** Returns the process ID of a domain's QEMU, by its name. @throws when it has none */
export async function pidOfDomain(name: string): Promise<number> {
  return Number(await readFile(`/run/libvirt/qemu/${name}.pid`, 'utf8'))
}
