import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import type { Box } from '../../core/box.ts'
import { findVm, imageOf } from '../../core/box.ts'
import { ensureAwake } from '../../core/sleep/wake.ts'
import { CroftError } from '../../lib/error.ts'
import { quote } from '../../lib/text/command-line.ts'
import type { TerminalSize } from '../../lib/text/terminal-size.ts'
import type { Vm } from '../../store/index.ts'
import { endOf, sshArgs } from './ssh.ts'

/** A client that shows a terminal. */
export interface Viewer {
  show(output: Uint8Array): void
  /** Tells the viewer that the terminal has ended. */
  end(): void
}

/** How many bytes of earlier output a new viewer is shown. */
const kept = 256 * 1024
/** How long a terminal without viewers and without output is kept. */
const unwatchedMs = 60 * 60_000
const mostOfOneVm = 20
const mostWaiting = 1024 * 1024
const mostEarly = 64 * 1024
/** A guest may write byte by byte, and each piece has an overhead in memory. */
const mostPieces = 256

/** A login shell in a VM that goes on while it has no viewers. */
export class Terminal {
  readonly id = `trm_${randomBytes(9).toString('base64url')}`
  readonly vm: string
  readonly startedAt = new Date()
  readonly #child: ChildProcess
  readonly #viewers = new Set<Viewer>()
  #written: Buffer[] = []
  #size = 0
  /** The terminal device on our side, once it is known. */
  #device = ''
  /** Input from before the first output: until ssh has taken over the terminal, that would echo the input once more. */
  #early: Buffer | undefined = Buffer.alloc(0)
  #lastAt = performance.now()

  /**
   * `script` (util-linux) runs ssh in a terminal of its own. The first line of output is the terminal's device, and
   * ssh's output follows. `stty` on the device sets its size, which the kernel passes to ssh, and ssh to the guest.
   */
  constructor(vm: Vm, args: readonly string[], { columns, rows }: TerminalSize, ended: (terminal: Terminal) => void) {
    this.vm = vm.id
    const line = `stty cols ${columns} rows ${rows}; tty; exec ${['ssh', ...args].map(quote).join(' ')}`
    // If it outlived a daemon that is killed, nothing would end it.
    this.#child = spawn('setpriv', ['--pdeathsig', 'TERM', 'script', '-q', '-e', '-f', '-c', line, '/dev/null'], {
      env: { PATH: process.env.PATH, TERM: 'xterm-256color', SHELL: '/bin/sh' },
      stdio: ['pipe', 'pipe', 'ignore'],
    })
    this.#child.stdout!.on('data', (chunk: Buffer) => this.#take(chunk))
    this.#child.stdin!.on('error', () => {})
    this.#child.once('error', () => this.#end(ended))
    this.#child.once('close', () => this.#end(ended))
  }

  #take(chunk: Buffer): void {
    let output = chunk
    if (this.#device === '') {
      const [, device] = /^(\/dev\/pts\/\d+)\r?\n/.exec(output.toString('latin1')) ?? []
      if (device) {
        this.#device = device
        output = output.subarray(output.indexOf('\n') + 1)
      }
    }
    if (output.length === 0) return
    const early = this.#early
    this.#early = undefined
    if (early) this.write(early)
    this.#lastAt = performance.now()
    this.#written.push(output)
    this.#size += output.length
    if (this.#size > 2 * kept || this.#written.length > mostPieces) {
      this.#written = [this.#last()]
      this.#size = this.#written[0]!.length
    }
    for (const viewer of this.#viewers) viewer.show(output)
  }

  #end(ended: (terminal: Terminal) => void): void {
    ended(this)
    for (const viewer of this.#viewers) viewer.end()
    this.#viewers.clear()
  }

  /** Returns the most recent output. */
  #last(): Buffer {
    const length = Math.min(this.#size, kept)
    return Buffer.from(Buffer.concat(this.#written).subarray(this.#size - length))
  }

  get viewers(): number {
    return this.#viewers.size
  }

  get isForgotten(): boolean {
    return this.#viewers.size === 0 && performance.now() - this.#lastAt > unwatchedMs
  }

  /**
   * Shows the terminal to a viewer, which first gets the most recent output.
   * @returns a function that removes the viewer
   */
  watch(viewer: Viewer): () => void {
    if (this.#size > 0) viewer.show(this.#last())
    this.#viewers.add(viewer)
    return () => {
      this.#lastAt = performance.now()
      this.#viewers.delete(viewer)
    }
  }

  /** Sends input. Input beyond what ssh can take is dropped: nobody types that much. */
  write(input: Uint8Array): void {
    if (this.#early) {
      if (this.#early.length < mostEarly) this.#early = Buffer.concat([this.#early, input.subarray(0, mostEarly)])
    } else if (this.#child.stdin!.writableLength < mostWaiting) this.#child.stdin!.write(input)
  }

  resize({ columns, rows }: TerminalSize): void {
    if (this.#device) execFile('stty', ['-F', this.#device, 'cols', `${columns}`, 'rows', `${rows}`], () => {})
  }

  end(): void {
    this.#child.kill('SIGTERM')
  }
}

/** The open terminals of all VMs. */
export class Terminals {
  readonly #box: Box
  readonly #folder: string
  readonly #open = new Map<string, Terminal>()

  /** @param folder the state folder */
  constructor(box: Box, folder: string) {
    this.#box = box
    this.#folder = folder
  }

  of(vm: Vm): Terminal[] {
    return [...this.#open.values()].filter((terminal) => terminal.vm === vm.id)
  }

  find(id: string): Terminal | undefined {
    return this.#open.get(id)
  }

  /** Wakes a VM and starts a terminal in it. @throws CroftError `not-found`, `conflict`, and those of waking */
  async start(name: string, size: TerminalSize): Promise<Terminal> {
    const { id } = findVm(this.#box.store.state, name)
    const vm = await ensureAwake(this.#box, id)
    if (this.of(vm).length >= mostOfOneVm)
      throw new CroftError('conflict', `${vm.name} has ${mostOfOneVm} terminals open.`, {
        hint: 'To end one, type in it: exit',
      })
    const args = [...sshArgs(this.#folder, vm, imageOf(this.#box.store.state, vm).user), '-o', 'BatchMode=yes', '-tt']
    const end = endOf(this.#box, vm)
    const terminal = new Terminal(vm, args, size, ({ id }) => {
      end.unwatch()
      this.#open.delete(id)
    })
    end.signal.addEventListener('abort', () => terminal.end())
    this.#open.set(terminal.id, terminal)
    return terminal
  }

  endForgotten(): void {
    for (const terminal of this.#open.values()) if (terminal.isForgotten) terminal.end()
  }

  close(): void {
    for (const terminal of this.#open.values()) terminal.end()
  }
}
