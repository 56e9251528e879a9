import { expect, vi } from 'vitest'
import { slot } from './croft.ts'
import { must } from './program.ts'

/** A program in a terminal, for tests that type and read the screen: tmux, with a server of its own. */
export class Terminal implements AsyncDisposable {
  readonly #server: string

  /** @param env for the program, in addition to the test's own */
  static async open(
    name: string,
    { columns, rows }: { columns: number; rows: number },
    command: readonly string[],
    env: Record<string, string> = {},
  ): Promise<Terminal> {
    const terminal = new Terminal(name)
    const size = ['-x', String(columns), '-y', String(rows)]
    const variables = Object.entries(env).flatMap(([key, value]) => ['-e', `${key}=${value}`])
    await terminal.tmux('new-session', '-d', '-s', 'it', ...size, ...variables, ...command)
    return terminal
  }

  private constructor(name: string) {
    this.#server = `croft-${slot}-${name}`
  }

  tmux = (...args: string[]): Promise<string> => must('tmux', ['-L', this.#server, '-f', '/dev/null', ...args])

  /** Returns the current screen. */
  async screen(): Promise<string> {
    return (await this.tmux('capture-pane', '-p', '-t', 'it')).trimEnd()
  }

  /** Sends keys by tmux's names for them, or literally. */
  type = (...keys: string[]): Promise<string> => this.tmux('send-keys', '-t', 'it', ...keys)

  resize = (columns: number, rows: number): Promise<string> =>
    this.tmux('resize-window', '-t', 'it', '-x', String(columns), '-y', String(rows))

  async cursorSeen(): Promise<boolean> {
    return (await this.tmux('display-message', '-p', '-t', 'it', '#{cursor_flag}')) === '1\n'
  }

  shows = (what: string | RegExp): Promise<unknown> =>
    vi.waitFor(async () => expect(await this.screen()).toMatch(what), { timeout: 60_000, interval: 100 })

  async [Symbol.asyncDispose](): Promise<void> {
    await this.tmux('kill-server').catch(() => {})
  }
}
