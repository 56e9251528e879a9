import type { Vm } from '../../store/index.ts'

export interface Network {
  /** Makes the network and the firewall as they should be for the VMs there are; whatever is there already stays. */
  restore(): Promise<void>
  /** The same, if something on the box has taken the bridge away or a running VM from it. @returns whether all stood */
  look(): Promise<boolean>
  /** Lets a VM in, within its `rates`; safe to repeat, also for one that runs. */
  add(vm: Vm): Promise<void>
  remove(vm: Vm): Promise<void>
}
