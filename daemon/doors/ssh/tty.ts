import { createInterface, type Interface } from 'node:readline'
import { PassThrough, Writable } from 'node:stream'
import type { ServerChannel } from 'ssh2'
import type { TerminalSize } from '../../lib/text/terminal-size.ts'

/** Writes to a client's terminal. There is no terminal driver in between, so line ends are converted to CR LF here. */
export class Screen extends Writable {
  readonly isTTY = true
  columns: number
  rows: number
  readonly #channel: ServerChannel
  #last = 0

  constructor(channel: ServerChannel, { columns, rows }: TerminalSize) {
    super({ decodeStrings: true })
    this.#channel = channel
    this.columns = columns
    this.rows = rows
  }

  override _write(chunk: Buffer, _: unknown, done: () => void): void {
    const text = (this.#last === 13 ? '\r' : '') + chunk.toString('latin1')
    const lines = text.replace(/\r?\n/g, '\r\n').slice(this.#last === 13 ? 1 : 0)
    this.#last = chunk.at(-1) ?? this.#last
    if (this.#channel.write(Buffer.from(lines, 'latin1'))) done()
    else this.#channel.once('drain', done)
  }

  resize({ columns, rows }: TerminalSize): void {
    this.columns = columns
    this.rows = rows
    this.emit('resize')
  }
}

export type Complete = (line: string) => Promise<{ hits: string[]; begun: string }>

const interrupt = 3
/** The maximum length of a line, and how much typed input is handled at a time, in bytes. */
const longestLine = 4096
const atOnce = 256
/** How much input typed while a command runs is kept for the next line, in bytes. */
const mostEarly = 4096

/** A client's terminal. Reads lines at a prompt, with history and completion, or passes input to a running command. */
export class Tty {
  readonly screen: Screen
  readonly #channel: ServerChannel
  readonly #typed = new PassThrough()
  readonly #lines: Interface
  /** Receives input while no line is being read. */
  #busy: ((chunk: Buffer) => void) | undefined
  /** Whether the client has ended its input. */
  #ended = false
  #over = false

  /** @param history lines typed earlier, the latest first; new lines are added to it */
  constructor(channel: ServerChannel, size: TerminalSize, history: string[], complete: Complete) {
    this.#channel = channel
    this.screen = new Screen(channel, size)
    this.#lines = createInterface({
      input: this.#typed,
      output: this.screen,
      terminal: true,
      history,
      historySize: 500,
      removeHistoryDuplicates: true,
      escapeCodeTimeout: 100,
      completer: (line: string, done: (error: null, result: [string[], string]) => void) =>
        void complete(line).then(
          ({ hits, begun }) => done(null, [hits, begun]),
          () => done(null, [[], line]),
        ),
    })
    // Without a listener, readline would suspend this process on Ctrl-Z.
    this.#lines.on('SIGTSTP', () => {})
    this.#lines.once('close', () => {
      this.#over = true
    })
    this.#lines.pause()
    // On a resize, readline's own listener would draw the prompt even while none is shown.
    this.screen.removeAllListeners('resize').on('resize', () => {
      if (!this.#busy && !this.#over) this.#lines.prompt(true)
    })
    channel.on('data', (chunk: Buffer) => (this.#busy ? this.#busy(chunk) : this.#type(chunk)))
    channel.once('end', () => {
      this.#ended = true
      if (!this.#busy) this.#typed.end()
    })
    channel.once('close', () => {
      this.close()
      this.screen.destroy() // releases writers that wait for `drain`
    })
  }

  /**
   * Passes input to readline. Each character may redraw the whole line, so the length of a line is limited, with a bell
   * for input beyond the limit, and reading pauses until the screen has drained.
   */
  #type(chunk: Buffer): void {
    if (this.#typed.writableEnded) return
    for (let at = 0; at < chunk.length; at += atOnce) {
      const piece = chunk.subarray(at, at + atOnce)
      const isFull = this.#lines.line.length > longestLine && piece[0]! >= 32 && piece[0] !== 127
      if (isFull || this.#typed.writableNeedDrain) this.screen.write('\u0007')
      else this.#typed.write(piece)
    }
    if (!this.screen.writableNeedDrain) return
    this.#channel.pause()
    this.screen.once('drain', () => this.#channel.resume())
  }

  get over(): boolean {
    return this.#over
  }

  /** Reads a line. @returns undefined at the end of input @param kept whether the line goes into the history */
  line(prompt: string, kept: boolean): Promise<string | undefined> {
    const lines = this.#lines as Interface & { history: string[] }
    return new Promise((resolve) => {
      if (this.#over) return resolve(undefined)
      const end = (line: string | undefined) => {
        lines.off('line', end).off('SIGINT', again).off('close', gone)
        if (!kept && line) lines.history.shift()
        if (!this.#over) lines.pause()
        resolve(line)
      }
      const gone = () => end(undefined)
      const again = () => {
        this.screen.write('^C\n')
        if (!kept) return end('')
        lines.write(null, { ctrl: true, name: 'e' })
        lines.write(null, { ctrl: true, name: 'u' })
        lines.prompt()
      }
      lines.on('line', end).on('SIGINT', again).on('close', gone)
      lines.setPrompt(prompt)
      lines.resume()
      lines.prompt()
    })
  }

  /**
   * Runs `work` while no line is being read. Input typed meanwhile is kept for the next line, except Ctrl-C.
   * @param interrupted called when Ctrl-C is typed or the client has gone
   * @param takes returns whether the work consumed the input itself
   */
  async whileBusy<T>(interrupted: () => void, takes: (typed: Buffer) => boolean, work: () => Promise<T>): Promise<T> {
    const early: Buffer[] = []
    let size = 0
    const before = this.#busy
    this.#busy = (chunk) => {
      const at = chunk.lastIndexOf(interrupt)
      if (at >= 0) {
        early.length = 0
        interrupted()
      }
      const rest = chunk.subarray(at + 1)
      if (takes(rest)) return
      size += rest.length
      if (size < mostEarly) early.push(rest)
    }
    this.#channel.once('close', interrupted)
    try {
      return await work()
    } finally {
      this.#channel.off('close', interrupted)
      this.#busy = before
      for (const chunk of early) this.#type(chunk)
      if (this.#ended && !before) this.#typed.end()
    }
  }

  /** Reads a line for a running command. */
  async ask(question: string): Promise<string> {
    const busy = this.#busy
    this.#busy = undefined
    if (this.#ended) this.#typed.end()
    try {
      return (await this.line(question, false)) ?? ''
    } finally {
      this.#busy = busy
    }
  }

  /** Lends the channel to `work` until it is done. */
  async lend<T>(work: (channel: ServerChannel) => Promise<T>): Promise<T> {
    const busy = this.#busy
    this.#busy = () => {}
    try {
      return await work(this.#channel)
    } finally {
      this.#busy = busy
    }
  }

  close(): void {
    this.#over = true
    this.#lines.close()
    this.#typed.destroy()
  }
}
