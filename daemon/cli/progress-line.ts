import { bar } from '../lib/text/units.ts'
import type { ConversationProgress } from './conversation.ts'

/** A stream that may be a terminal. */
type Line = { isTTY?: boolean; columns?: number; write(text: string): unknown }

/** A line that shows the progress of a long command on a terminal; shows nothing elsewhere. */
export class ProgressLine {
  readonly #stream: Line
  #shown = false
  subject = ''
  /** Whether the current work can be undone. */
  revocable = false

  constructor(stream: Line) {
    this.#stream = stream
  }

  show({ subject, step, fraction, revocable = false }: ConversationProgress): void {
    this.subject = subject
    this.revocable = revocable
    if (!this.#stream.isTTY) return
    const text = `  ${subject}   ${bar(fraction)} ${step}`
    const room = Math.max(10, (this.#stream.columns ?? 80) - 1)
    this.#stream.write(`\r${[...text].slice(0, room).join('')}\u001b[K`)
    this.#shown = true
  }

  clear(): void {
    if (this.#shown) this.#stream.write('\r\u001b[K')
    this.#shown = false
  }
}
