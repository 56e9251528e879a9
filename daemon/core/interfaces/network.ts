import type { Vm } from '../../store/index.ts'

export interface Network {
  /** Sets up the network and the firewall for the existing VMs; anything that is in place already stays. */
  restore(): Promise<void>
  /**
   * Does the same if something on the box has removed the bridge, or a running VM from it.
   * @returns whether everything was in place
   */
  look(): Promise<boolean>
  /** Adds a VM to the network, limited to its `rates`. Idempotent, also for a running VM. */
  add(vm: Vm): Promise<void>
  remove(vm: Vm): Promise<void>
}
