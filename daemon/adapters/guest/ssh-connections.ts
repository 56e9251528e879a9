import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Box } from '../../core/box.ts'
import type { Loan, SharedConnections } from '../../core/interfaces/host.ts'
import { runProgram } from '../../lib/process/run.ts'
import type { Vm } from '../../store/index.ts'
import { vmFolder } from '../libvirt/domain-xml.ts'
import { endOf, sshArgs } from './ssh.ts'

/** How long an unused connection stays open. */
const lingerMs = 30_000
/** Debian's sshd allows ten sessions per connection. */
const mostSessions = 8
/** How long a guest may take to answer `loginStamp`. */
const answerMs = 10_000
/** Paths of unix sockets have at most 107 bytes, and ssh first makes one whose path is 17 bytes longer. */
const mostPathBytes = 90

/**
 * Prints the state of the files that a login reads: groups, shells, environment, limits. While it is unchanged, an open
 * connection has the same rights and settings as a new one would have.
 */
const loginStamp = "stat -c '%i %z' /etc/passwd /etc/group /etc/environment /etc/security/limits.conf"

/**
 * SSH connections to VMs that commands share, mostly one for each VM and user. A login costs a guest far more than most
 * commands do: 1.5 to 2 s compared with 0.13 s in an emulated one. They use OpenSSH's multiplexing: a master process
 * holds the connection.
 */
export class SshConnections implements SharedConnections {
  readonly #folder: string
  readonly #box: () => Box
  /** All open connections. */
  readonly #open = new Set<Connection>()
  #number = 0

  /** @param folder the state folder @param box returns the box, which is made after this */
  constructor(folder: string, box: () => Box) {
    this.#folder = folder
    this.#box = box
  }

  /**
   * Lends a connection: an open one, if it is as good as a new one.
   * @returns undefined when the command must open its own; `refused` with ssh's own words when there can be none
   */
  async borrow(vm: Vm, user: string): Promise<Loan | { refused: string } | undefined> {
    const open = this.#find(vm, user)
    if (open && !(await open.isAsNew())) open.retire()
    return (this.#find(vm, user) ?? this.#make(vm, user))?.lend()
  }

  /** Returns how many open connections to a VM are unused. */
  unused(vm: Pick<Vm, 'id'>): number {
    return this.#unused(vm).length
  }

  /** Closes the unused connections to a VM before its memory is saved; resolves when the guest knows. */
  async leave(vm: Pick<Vm, 'id'>): Promise<void> {
    await Promise.all(this.#unused(vm).map((each) => each.end()))
  }

  close(): void {
    for (const each of this.#open) void each.end()
  }

  #unused({ id }: Pick<Vm, 'id'>): Connection[] {
    return [...this.#open].filter((each) => each.vm === id && each.sessions === 0)
  }

  #find({ id }: Vm, user: string): Connection | undefined {
    return [...this.#open].find(
      (each) => each.vm === id && each.user === user && !each.isRetired && each.sessions < mostSessions,
    )
  }

  #make(vm: Vm, user: string): Connection | undefined {
    const path = join(vmFolder(this.#folder, vm), `ssh-${user}-${this.#number++}`)
    if (Buffer.byteLength(path) > mostPathBytes) return undefined
    const connection = new Connection(this.#folder, vm, user, path)
    this.#open.add(connection)
    const end = endOf(this.#box(), vm)
    end.signal.addEventListener('abort', () => void connection.end())
    void connection.ended.then(() => {
      end.unwatch()
      this.#open.delete(connection)
    })
    return connection
  }
}

class Connection {
  readonly vm: string
  readonly user: string
  /** Resolves when the connection has been closed, by either side. */
  readonly ended: Promise<void>
  /** How many sessions use it now. */
  sessions = 0
  /** Whether it takes no more sessions, and ends with its last one. */
  isRetired = false
  /** Arguments for ssh to use this connection. */
  readonly #to: readonly string[]
  readonly #master: ChildProcess
  /** The stamp at the time of its login. */
  readonly #opened: Promise<string>
  #says = ''
  #timer: NodeJS.Timeout | undefined

  constructor(folder: string, vm: Vm, user: string, path: string) {
    this.vm = vm.id
    this.user = user
    this.#to = [...sshArgs(folder, vm, user), '-o', 'BatchMode=yes', '-o', `ControlPath=${path}`]
    const tellsWhenOpen = ['-o', 'PermitLocalCommand=yes', '-o', 'LocalCommand=echo open']
    const words = ['ssh', ...this.#to, '-o', 'ControlMaster=yes', ...tellsWhenOpen, '-N']
    this.#master = spawn('setpriv', ['--pdeathsig', 'TERM', ...words], { stdio: ['ignore', 'pipe', 'pipe'] })
    this.#master.stderr!.on('data', (chunk: Buffer) => {
      if (this.#says.length < 4096) this.#says += chunk.toString()
    })
    this.ended = new Promise<void>((resolve) => {
      this.#master.once('close', () => resolve())
      this.#master.once('error', () => resolve())
    }).then(() => this.retire())
    const failed = this.ended.then(() => Promise.reject(new Error('the connection could not be opened')))
    this.#opened = Promise.race([once(this.#master.stdout!, 'data'), failed]).then(() => this.#stamp())
    for (const each of [failed, this.#opened]) each.catch(() => {})
  }

  async lend(): Promise<Loan | { refused: string }> {
    this.#use()
    try {
      await this.#opened
    } catch {
      this.#leave()
      return { refused: this.#says }
    }
    return { to: this.#to, giveBack: () => this.#leave() }
  }

  /** Whether it is alive and has the same rights and settings as a new login would have. */
  async isAsNew(): Promise<boolean> {
    this.#use()
    try {
      const before = await this.#opened
      return before !== '' && before === (await this.#stamp())
    } catch {
      return false
    } finally {
      this.#leave()
    }
  }

  retire(): void {
    this.isRetired = true
    if (this.sessions === 0) void this.end()
  }

  /** Ends the connection and its sessions; resolves when it has been closed. */
  end(): Promise<void> {
    clearTimeout(this.#timer)
    this.isRetired = true
    this.#master.kill('SIGTERM')
    return this.ended
  }

  #use(): void {
    clearTimeout(this.#timer)
    this.sessions++
  }

  #leave(): void {
    if (--this.sessions > 0) return
    if (this.isRetired) void this.end()
    else this.#timer = setTimeout(() => void this.end(), lingerMs).unref()
  }

  /** Runs `loginStamp` over this connection. @returns its output; empty when the guest does not answer */
  async #stamp(): Promise<string> {
    return runProgram('ssh', [...this.#to, '-T', '--', loginStamp], { timeoutMs: answerMs, okCodes: [0, 1] }).then(
      ({ stdout }) => stdout,
      () => '',
    )
  }
}
