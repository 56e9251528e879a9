import { stripVTControlCharacters } from 'node:util'
import type { TerminalSize } from '../lib/terminal-size.ts'

/** A terminal, or what stands for one. */
interface Stream {
  columns?: number
  rows?: number
  write(text: string, done: () => void): unknown
  once(event: 'resize', then: () => void): unknown
  off(event: 'resize', then: () => void): unknown
}

/** Of ECMA-48, and of DEC's private modes 7 (a line that is too long goes on in the next) and 25 (the cursor is seen). */
const csi = '\u001b['
const home = `${csi}H`
const eraseLine = `${csi}K`
const eraseBelow = `${csi}J`
const wrap = { off: `${csi}?7l`, on: `${csi}?7h` }
const cursor = { off: `${csi}?25l`, on: `${csi}?25h` }

/** What the terminal has room for; at least 20 columns, for less is no use to anybody. */
export const sizeOf = ({ columns, rows }: Pick<Stream, 'columns' | 'rows'>): TerminalSize => ({
  columns: Math.max(20, columns || 80),
  rows: rows || 24,
})

const isSame = (a: TerminalSize, b: TerminalSize): boolean => a.columns === b.columns && a.rows === b.rows

/** A picture on a terminal, each in the place of the one before. */
export class LiveView {
  readonly #stream: Stream
  /** How many lines of it stand there, the cursor in the last of them; 0 for none. */
  #height = 0
  #size: TerminalSize | undefined
  /** What was last said of the terminal: what comes is made for that. */
  #told: TerminalSize
  /** The next one is wanted. */
  #next = () => {}

  constructor(stream: Stream) {
    this.#stream = stream
    this.#told = sizeOf(stream)
  }

  get shown(): boolean {
    return this.#height > 0
  }

  /**
   * Shows one, in one piece and without an empty moment; but not one that was made for another size.
   * @returns the terminal's size when the next is wanted: after `ms`, when it has another size, or when this one was left
   */
  async show(text: string, ms: number): Promise<TerminalSize> {
    if (isSame(this.#told, sizeOf(this.#stream))) await this.#stand(text, ms)
    this.#told = sizeOf(this.#stream)
    return this.#told
  }

  async #stand(text: string, ms: number): Promise<void> {
    const stream = this.#stream
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#next = resolve
    stream.once('resize', resolve)
    let timer: NodeJS.Timeout | undefined
    // One that can't take it yet is not given more.
    stream.write(this.#draw(text), () => {
      if (this.#next === resolve) timer = setTimeout(resolve, ms)
    })
    await promise
    this.#next = () => {}
    clearTimeout(timer)
    stream.off('resize', resolve)
  }

  /** Leaves the last one where it is; what is written then comes below it. */
  leave(): void {
    if (this.shown) this.#stream.write(`\n${cursor.on}`, () => {})
    this.#height = 0
    this.#size = undefined
    this.#next()
    this.#next = () => {}
  }

  #draw(text: string): string {
    const lines = text.replace(/\n$/, '').split('\n')
    const size = sizeOf(this.#stream)
    const before = this.#size
    // Where the lines of the one before are when the size is another, each terminal decides for itself.
    const moved = before && !isSame(before, size)
    const start = moved ? home : `\r${this.#height > 1 ? `${csi}${this.#height - 1}A` : ''}`
    const drawn = lines.map((line) =>
      // In the last column it would erase what has just been written there.
      [...stripVTControlCharacters(line)].length < size.columns ? line + eraseLine : line,
    )
    const last = drawn.pop()
    this.#height = lines.length
    this.#size = size
    const body = [...drawn, eraseBelow + last].join('\n')
    return `${before ? '' : cursor.off}${wrap.off}${start}${body}${wrap.on}`
  }
}
