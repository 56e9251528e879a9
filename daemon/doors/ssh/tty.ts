import { createInterface, type Interface } from 'node:readline'
import { PassThrough, Writable } from 'node:stream'
import type { ServerChannel } from 'ssh2'
import type { TerminalSize } from '../../lib/terminal-size.ts'

/** What is written to a client's terminal: no terminal driver stands between, so that each line's end is made here. */
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
/** What a line may have, and what of it is taken at once. */
const longestLine = 4096
const atOnce = 256
/** What is typed while something runs, for the next line, in bytes. */
const mostEarly = 4096

/** A client's terminal: lines typed at a prompt, with history and completion, or what is typed for something that runs. */
export class Tty {
  readonly screen: Screen
  readonly #channel: ServerChannel
  readonly #typed = new PassThrough()
  readonly #lines: Interface
  /** Takes what is typed while no line is asked for. */
  #busy: ((chunk: Buffer) => void) | undefined
  /** The client sends no more. */
  #ended = false
  #over = false

  /** @param history lines typed before, the latest first; those that are typed are put into it */
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
    // Without a listener it would stop this very process.
    this.#lines.on('SIGTSTP', () => {})
    this.#lines.once('close', () => {
      this.#over = true
    })
    this.#lines.pause()
    // By itself it would draw the prompt at another size also where none is shown.
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
      this.screen.destroy() // who waits until it has taken something in waits no longer
    })
  }

  /** Each character may redraw the whole line. So a line has a longest length, beyond which the bell rings, and typing waits for the screen. */
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

  /** What was typed; undefined when there is no more of it. @param kept whether it is one for the history */
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
   * Does something while no line is asked for. What is typed meanwhile is for the next line; Ctrl-C is not.
   * @param interrupted Ctrl-C was typed, or the client has gone
   * @param takes whether it has taken what was typed for itself
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

  /** A line asked for by something that runs. */
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

  /** Leaves the channel to somebody else for a while. */
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
