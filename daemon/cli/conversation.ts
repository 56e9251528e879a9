import { connect } from 'node:net'
import { WebSocket } from 'ws'
import type { TerminalSize } from '../lib/terminal-size.ts'

export interface Progress {
  subject: string
  step: string
  fraction: number
  /** Whether what goes on can be taken back. */
  revocable?: boolean
}

/** What the daemon says in a conversation, besides output; see doors/http/exec-socket.ts. */
type Message =
  | { progress: Progress | null }
  | { show: string; ms: number }
  | { ask: string }
  | { read: string }
  | { run: { program: string; args: string[]; vm: string; words: string[] } }
  | { exit: number }

/** The caller's end of it: what the daemon asks of whoever typed the command line. */
export interface CallerEnd {
  write(to: 'out' | 'err', bytes: Buffer): Promise<void>
  /** Undefined: there is nothing to show any more. */
  progress(progress: Progress | undefined): void
  /** Shows a picture in the place of the one before. @returns the terminal's size when the next is wanted, after `ms` or before */
  show(picture: string, ms: number): Promise<TerminalSize>
  ask(question: string): Promise<boolean>
  /** The content of a file; "-" is standard input. @throws Error whose message says why there is none, as a sentence */
  read(path: string): Promise<Buffer>
  /** Runs `program`, which enters the VM `vm`, with `words` as the caller's own. @returns its exit code */
  run(run: { program: string; args: readonly string[]; vm: string; words: readonly string[] }): Promise<number>
}

/** The terminal of who types. Without `rows`, one on which pictures can't be shown. */
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
  /** Who types, on the box itself; -1 elsewhere. */
  uid: number
  /** Whether commands stand alone where it was typed, with `croft` before them or not. */
  atPrompt?: boolean
  /** The current folder, for a caller on the box itself. */
  cwd?: string | undefined
}

/** What the first Ctrl-C prints where it takes back what was begun. */
export const takesBack = 'What was begun is being taken back. Ctrl-C again: wait no longer.\n'

/** What somebody is told who waits no longer for what he has begun. */
export const goesOn = 'croft waits no longer. What was begun goes on: croft ls shows it.\n'

export const isYes = (answer: string): boolean => /^y(es)?$/i.test(answer.trim())

/** croftd refused the whole conversation. */
export class Refused extends Error {}

/** A command line given to croftd, and what comes of it. The command line program and the lobby both hold it. */
export class Conversation {
  /** The exit code; undefined when croftd ended before it answered. Rejects when it can't be reached, and with `Refused`. */
  readonly exit: Promise<number | undefined>
  readonly #socket: WebSocket
  /** Resolves when it can be sent to, or never will be. */
  readonly #begun: Promise<void>
  readonly #end: CallerEnd
  /** What has come is handled one after the other: as much is read as the caller takes. */
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

  /** Hands over some of standard input, or, by null, its end. Resolves when there is room for more. */
  stdin(chunk: Buffer | null): Promise<void> {
    return chunk ? this.#send(chunk) : this.#say({ eof: true })
  }

  /** Has what was begun taken back; the end tells whether that came in time. */
  revoke(): void {
    void this.#say({ revoke: true })
  }

  /** Waits no longer. What was begun goes on. */
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
      // What has come before is for the caller still.
      socket.once('close', () => void this.#turn.then(() => resolve(undefined)))
      socket.on('message', (data: Buffer, isBinary) => {
        this.#waiting++
        socket.pause()
        this.#turn = this.#turn
          .then(async () => {
            if (this.#left) return // the rest is for nobody
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

  /** The first byte says for which output the rest is: see doors/http/exec-socket.ts. */
  async #print(data: Buffer): Promise<undefined> {
    this.#end.progress(undefined)
    await this.#end.write(data[0] === 2 ? 'err' : 'out', data.subarray(1))
  }

  /** @returns the exit code, when that is what it says */
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
