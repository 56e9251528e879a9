import type { Vm } from '../../store/index.ts'

export interface ProgramResult {
  code: number
  stdout: string
  stderr: string
}

export interface Guests {
  /**
   * Writes who the guest is (name, keys, machine-id, address, clock …) into it and sees that its SSH server runs.
   * @param booted it has just booted: its file system may have to grow
   * @returns what of that could not be done in it, in its own words: paths, `address`, `clock` @throws CroftError
   * `guest-failed` when it does not take the script
   */
  personalize(vm: Vm, booted: boolean): Promise<string[]>
  /** Sets its clock, if that is off. */
  tellTime(vm: Pick<Vm, 'uuid'>): Promise<void>
  /** Runs a script as root through the guest agent. */
  script(uuid: string, script: string, timeoutMs?: number): Promise<ProgramResult>
  /** Logs in by SSH and out again. @throws CroftError `guest-failed` */
  enter(vm: Vm, user: string): Promise<void>
  /** How many SSH connections the daemon has open to a VM that nobody uses now. */
  unusedConnections(vm: Vm): number
  /** Closes those. */
  leave(vm: Vm): Promise<void>
  /** Makes the folder of a new VM with its host key; the same key when asked again. */
  prepare(vm: Vm): Promise<void>
  /** Removes that folder: keys and console. */
  forget(vm: Vm): Promise<void>
  /** The last part of the serial console, as text that is safe to print. */
  consoleTail(vm: Vm, lines: number): Promise<string>
}
