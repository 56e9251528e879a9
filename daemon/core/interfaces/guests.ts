import type { Vm } from '../../store/index.ts'

export interface ProgramResult {
  code: number
  stdout: string
  stderr: string
}

export interface Guests {
  /**
   * Writes the guest's identity (name, keys, machine-id, address, clock …) into it and makes sure that its SSH server
   * runs.
   * @param booted it has just booted: its file system may have to grow
   * @returns what could not be set, in the guest's own words: paths, `address`, `clock` @throws CroftError
   * `guest-failed` when the guest does not take the script
   */
  personalize(vm: Vm, booted: boolean): Promise<string[]>
  /** Sets the guest's clock if it is off. */
  tellTime(vm: Pick<Vm, 'uuid'>): Promise<void>
  /** Runs a script as root through the guest agent. */
  script(uuid: string, script: string, timeoutMs?: number): Promise<ProgramResult>
  /** Logs in by SSH and out again. @throws CroftError `guest-failed` */
  enter(vm: Vm, user: string): Promise<void>
  /** The number of SSH connections that the daemon has open to a VM and that nobody uses now. */
  unusedConnections(vm: Vm): number
  /** Closes the daemon's unused SSH connections to a VM. */
  leave(vm: Vm): Promise<void>
  /** Makes the folder of a new VM with its host key. Idempotent: the key stays the same. */
  prepare(vm: Vm): Promise<void>
  /** Removes the VM's folder: keys and console. */
  forget(vm: Vm): Promise<void>
  /** The last lines of the serial console, as text that is safe to print. */
  consoleTail(vm: Vm, lines: number): Promise<string>
}
