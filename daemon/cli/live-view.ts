import { stripVTControlCharacters } from 'node:util'
import type { TerminalSize } from '../lib/text/terminal-size.ts'

/** A terminal, or a stand-in for one. */
interface Stream {
  columns?: number
  rows?: number
  write(text: string, done: () => void): unknown
  once(event: 'resize', then: () => void): unknown
  off(event: 'resize', then: () => void): unknown
}

/** Control sequences of ECMA-48, and DEC's private modes 7 (autowrap) and 25 (cursor visible). */
const csi = '\u001b['
const home = `${csi}H`
const eraseLine = `${csi}K`
const eraseBelow = `${csi}J`
const wrap = { off: `${csi}?7l`, on: `${csi}?7h` }
const cursor = { off: `${csi}?25l`, on: `${csi}?25h` }

/** Returns the terminal's size, with at least 20 columns: a narrower view would be useless. */
export const sizeOf = ({ columns, rows }: Pick<Stream, 'columns' | 'rows'>): TerminalSize => ({
  columns: Math.max(20, columns || 80),
  rows: rows || 24,
})

const isSame = (a: TerminalSize, b: TerminalSize): boolean => a.columns === b.columns && a.rows === b.rows

/** A view on a terminal in which each frame replaces the previous one. */
export class LiveView {
  readonly #stream: Stream
  /** Number of lines shown, with the cursor in the last one; 0 for none. */
  #height = 0
  #size: TerminalSize | undefined
  /** The size last reported to the caller: the next frame is made for it. */
  #told: TerminalSize
  /** Ends the wait for the next frame. */
  #next = () => {}

  constructor(stream: Stream) {
    this.#stream = stream
    this.#told = sizeOf(stream)
  }

  get shown(): boolean {
    return this.#height > 0
  }

  /**
   * Shows a frame in a single write, without flicker. A frame made for another size is skipped.
   * @returns the terminal's size when the next frame is due: after `ms`, on a resize, or after `leave`
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
    // The interval starts when the terminal has taken the frame (backpressure).
    stream.write(this.#draw(text), () => {
      if (this.#next === resolve) timer = setTimeout(resolve, ms)
    })
    await promise
    this.#next = () => {}
    clearTimeout(timer)
    stream.off('resize', resolve)
  }

  /** Leaves the last frame on the screen; later output appears below it. */
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
    // After a resize, each terminal puts the lines of the previous frame elsewhere.
    const moved = before && !isSame(before, size)
    const start = moved ? home : `\r${this.#height > 1 ? `${csi}${this.#height - 1}A` : ''}`
    const drawn = lines.map((line) =>
      // In the last column, the erase would remove the character just written.
      [...stripVTControlCharacters(line)].length < size.columns ? line + eraseLine : line,
    )
    const last = drawn.pop()
    this.#height = lines.length
    this.#size = size
    const body = [...drawn, eraseBelow + last].join('\n')
    return `${before ? '' : cursor.off}${wrap.off}${start}${body}${wrap.on}`
  }
}
