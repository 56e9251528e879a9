import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Box } from '../../core/box.ts'
import type { Loan, SharedConnections } from '../../core/interfaces/host.ts'
import { runProgram } from '../../lib/run.ts'
import type { Vm } from '../../store/index.ts'
import { vmFolder } from '../libvirt/domain-xml.ts'
import { endOf, sshArgs } from './ssh.ts'

/** How long a connection stays open that nobody uses. */
const lingerMs = 30_000
/** An sshd of Debian takes ten sessions on a connection. */
const mostSessions = 8
/** How long a guest may take to say that a connection is as good as a new one. */
const answerMs = 10_000
/** Paths of unix sockets have 107 bytes at most, and ssh begins with one that is 17 longer. */
const mostPathBytes = 90

/**
 * Prints what changes when a file does that a login reads: who is in which group, the shell, the environment, limits. It
 * is the same for as long as a connection that is open has the rights and settings that a new one would have.
 */
const loginStamp = "stat -c '%i %z' /etc/passwd /etc/group /etc/environment /etc/security/limits.conf"

/**
 * SSH connections to VMs that commands share, mostly one for each VM and user. A login costs a guest far more than most commands
 * do: emulated, 1.5 to 2 s beside 0.13 s. OpenSSH's own multiplexing: a master process holds the connection.
 */
export class SshConnections implements SharedConnections {
  readonly #folder: string
  readonly #box: () => Box
  /** All that are open. */
  readonly #open = new Set<Connection>()
  #number = 0

  /** @param folder the state folder @param box the box that is about to have them */
  constructor(folder: string, box: () => Box) {
    this.#folder = folder
    this.#box = box
  }

  /**
   * Lends a connection: the one that is open, if it is as good as a new one.
   * @returns undefined where a command has to have one of its own; why there can be none, in ssh's words
   */
  async borrow(vm: Vm, user: string): Promise<Loan | { refused: string } | undefined> {
    const open = this.#find(vm, user)
    if (open && !(await open.isAsNew())) open.retire()
    return (this.#find(vm, user) ?? this.#make(vm, user))?.lend()
  }

  /** How many connections to a VM are open and used by nobody. */
  unused(vm: Pick<Vm, 'id'>): number {
    return this.#unused(vm).length
  }

  /** Closes those connections to a VM that nobody uses, before its memory is saved; resolves when the guest knows. */
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
  /** Resolves when it has been closed, by whomever. */
  readonly ended: Promise<void>
  /** How many use it now. */
  sessions = 0
  /** It ends with its last session, and gets no others. */
  isRetired = false
  /** Arguments for ssh to enter by it. */
  readonly #to: readonly string[]
  readonly #master: ChildProcess
  /** The stamp of the login that it began with. */
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
    const failed = this.ended.then(() => Promise.reject(new Error('it could not be opened')))
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

  /** Whether it is alive, and a login now would give the same rights and settings. */
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

  /** Ends it, with the sessions that it has; resolves when it has been closed. */
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

  /** What `loginStamp` says by this connection; empty when the guest does not say. */
  async #stamp(): Promise<string> {
    return runProgram('ssh', [...this.#to, '-T', '--', loginStamp], { timeoutMs: answerMs, okCodes: [0, 1] }).then(
      ({ stdout }) => stdout,
      () => '',
    )
  }
}
