import { connect } from 'node:net'
import { WebSocket } from 'ws'
import type { TerminalSize } from '../lib/text/terminal-size.ts'

export interface ConversationProgress {
  subject: string
  step: string
  fraction: number
  /** Whether the operation can be cancelled and undone. */
  revocable?: boolean
}

/** The daemon's messages in a conversation, except output; see doors/http/exec-socket.ts. */
type Message =
  | { progress: ConversationProgress | null }
  | { show: string; ms: number }
  | { ask: string }
  | { read: string }
  | { run: { program: string; args: string[]; vm: string; words: string[] } }
  | { exit: number }

/** The caller's end of a conversation: carries out what the daemon requests. */
export interface CallerEnd {
  write(to: 'out' | 'err', bytes: Buffer): Promise<void>
  /** Shows progress; undefined removes it. */
  progress(progress: ConversationProgress | undefined): void
  /**
   * Shows a picture in place of the previous one. Resolves when the next picture is due: after `ms`, or as soon as the
   * terminal's size changes.
   * @returns the terminal's size
   */
  show(picture: string, ms: number): Promise<TerminalSize>
  ask(question: string): Promise<boolean>
  /** Returns the content of a file; "-" is standard input. @throws Error whose message says why, as a full sentence */
  read(path: string): Promise<Buffer>
  /** Runs `program`, which enters the VM `vm`, with `words` as the caller's own. @returns its exit code */
  run(run: { program: string; args: readonly string[]; vm: string; words: readonly string[] }): Promise<number>
}

/** The caller's terminal. Without `rows`, the terminal can't show live views. */
export interface CallerTerminal {
  columns: number
  rows?: number | undefined
  color: boolean
}

export interface Opening {
  /** The daemon's socket. */
  socketPath: string
  headers?: Record<string, string>
  argv: readonly string[]
  terminal: CallerTerminal | null
  /** The caller's uid on the box itself; -1 elsewhere. */
  uid: number
  /** Whether the line was typed at the lobby's prompt, where a leading `croft` is optional. */
  atPrompt?: boolean
  /** The current folder, for a caller on the box itself. */
  cwd?: string | undefined
}

/** Printed at the first Ctrl-C, when the operation can be undone. */
export const takesBack = 'The operation is being undone. Press Ctrl-C again to stop waiting.\n'

/** Printed when the caller stops waiting for an operation that continues. */
export const goesOn = 'croft has stopped waiting. The operation continues in the background: croft ls shows it.\n'

export const isYes = (answer: string): boolean => /^y(es)?$/i.test(answer.trim())

/** croftd refused the whole conversation. */
export class Refused extends Error {}

/** One command line's conversation with croftd. Used by both the command line program and the lobby. */
export class Conversation {
  /**
   * The exit code; undefined when croftd ended before it answered. Rejects when croftd can't be reached, and with
   * `Refused` when croftd refuses the conversation.
   */
  readonly exit: Promise<number | undefined>
  readonly #socket: WebSocket
  /** Resolves when the socket has opened, or has closed without opening. */
  readonly #begun: Promise<void>
  readonly #end: CallerEnd
  /** Messages are handled one after another, and reading pauses meanwhile, so that a slow caller is not flooded. */
  #turn: Promise<void> = Promise.resolve()
  #waiting = 0
  #left = false

  constructor({ socketPath, headers, argv, terminal, uid, atPrompt, cwd }: Opening, end: CallerEnd) {
    this.#end = end
    this.#socket = new WebSocket('ws://croft/api/exec', {
      headers,
      createConnection: () => connect(socketPath),
      perMessageDeflate: false,
    })
    this.#begun = new Promise((resolve) => this.#socket.once('open', resolve).once('close', () => resolve()))
    this.exit = this.#answer()
    void this.#say({ argv, terminal, uid, atPrompt, cwd })
  }

  /** Sends a chunk of standard input; null ends the input. Resolves when more can be sent. */
  stdin(chunk: Buffer | null): Promise<void> {
    return chunk ? this.#send(chunk) : this.#say({ eof: true })
  }

  /** Asks the daemon to cancel and undo the operation. The exit code tells whether that came in time. */
  revoke(): void {
    void this.#say({ revoke: true })
  }

  /** Stops waiting. The operation continues. */
  leave(): void {
    this.#left = true
    this.#socket.terminate()
  }

  #say = (value: object): Promise<void> => this.#send(JSON.stringify(value))

  async #send(data: string | Buffer): Promise<void> {
    await this.#begun
    await new Promise<void>((resolve) => this.#socket.send(data, () => resolve()))
  }

  #answer(): Promise<number | undefined> {
    return new Promise((resolve, reject) => {
      const socket = this.#socket
      let answered = false
      socket.once('open', () => {
        answered = true
      })
      socket.once('unexpected-response', (_, response) => {
        response.resume()
        reject(new Refused(`croftd refuses: ${response.statusMessage} (${response.statusCode})`))
        socket.terminate()
      })
      socket.on('error', (error) => !answered && reject(error))
      // Messages that arrived before the socket closed are still handled.
      socket.once('close', () => void this.#turn.then(() => resolve(undefined)))
      socket.on('message', (data: Buffer, isBinary) => {
        this.#waiting++
        socket.pause()
        this.#turn = this.#turn
          .then(async () => {
            if (this.#left) return // nobody is waiting for the rest
            const exit = isBinary ? await this.#print(data) : await this.#handle(JSON.parse(String(data)))
            if (exit === undefined) {
              if (--this.#waiting === 0) socket.resume()
              return
            }
            resolve(exit)
            socket.terminate()
          })
          .catch(reject)
      })
    })
  }

  /** Prints a binary message. Its first byte tells which output the rest is for: see doors/http/exec-socket.ts. */
  async #print(data: Buffer): Promise<undefined> {
    this.#end.progress(undefined)
    await this.#end.write(data[0] === 2 ? 'err' : 'out', data.subarray(1))
  }

  /** Handles a message. @returns the exit code, if the message is the last one */
  async #handle(message: Message): Promise<number | undefined> {
    const end = this.#end
    if ('progress' in message) {
      end.progress(message.progress ?? undefined)
      return undefined
    }
    end.progress(undefined)
    if ('exit' in message) return message.exit
    void this.#say(await this.#answerTo(message))
    return undefined
  }

  async #answerTo(message: Exclude<Message, { progress: unknown } | { exit: number }>): Promise<object> {
    const end = this.#end
    if ('show' in message) return { size: await end.show(message.show, message.ms) }
    if ('ask' in message) return { answer: await end.ask(message.ask) }
    if ('run' in message) return { code: await end.run(message.run) }
    return end.read(message.read).then(
      (content) => ({ file: content.toString('base64') }),
      (error: Error) => ({ error: error.message }),
    )
  }
}
