import http from 'node:http'
import type { TerminalSize } from '../lib/terminal-size.ts'

export interface Progress {
  subject: string
  step: string
  fraction: number
  /** Whether what goes on can be taken back. */
  revocable?: boolean
}

/** What the daemon says in a conversation; see http/exec.ts. */
type Message =
  | { out: string }
  | { err: string }
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
  readonly #request: http.ClientRequest
  readonly #end: CallerEnd
  #left = false

  constructor({ socketPath, headers, argv, terminal, uid, atPrompt, cwd }: Opening, end: CallerEnd) {
    this.#end = end
    this.#request = http.request({
      socketPath,
      path: '/api/exec',
      method: 'POST',
      headers: { ...headers, 'content-type': 'application/x-ndjson' },
    })
    this.exit = this.#answer()
    this.#send({ argv, terminal, uid, atPrompt, cwd })
  }

  /** Hands over some of standard input, or, by null, its end. Resolves when there is room for more. */
  async stdin(chunk: Buffer | null): Promise<void> {
    if (this.#send({ stdin: chunk?.toString('base64') ?? null })) return
    await new Promise<void>((resolve) => {
      const done = () => {
        this.#request.off('drain', done).off('close', done)
        resolve()
      }
      this.#request.on('drain', done).on('close', done)
    })
  }

  /** Has what was begun taken back; the end tells whether that came in time. */
  revoke(): void {
    this.#send({ revoke: true })
  }

  /** Waits no longer. What was begun goes on. */
  leave(): void {
    this.#left = true
    this.#request.destroy()
  }

  #send(value: object): boolean {
    return this.#request.destroyed || this.#request.write(`${JSON.stringify(value)}\n`)
  }

  #answer(): Promise<number | undefined> {
    return new Promise((resolve, reject) => {
      let answered = false
      this.#request.on('error', (error) => (answered ? resolve(undefined) : reject(error)))
      this.#request.once('close', () => !answered && resolve(undefined))
      this.#request.on('response', (response) => {
        answered = true
        if (response.statusCode !== 200) {
          reject(new Refused(`croftd refuses: ${response.statusMessage} (${response.statusCode})`))
          this.#request.destroy()
          return
        }
        this.#follow(response).then(resolve, reject)
      })
    })
  }

  /** One message after the other: as much is read as the caller takes. @returns the exit code, unless croftd ends in the middle */
  async #follow(response: http.IncomingMessage): Promise<number | undefined> {
    for await (const line of linesOf(response)) {
      if (this.#left) return undefined // the rest is for nobody
      const message = JSON.parse(line) as Message
      if (!('exit' in message)) {
        await this.#handle(message)
        continue
      }
      this.#request.destroy()
      return message.exit
    }
    return undefined
  }

  async #handle(message: Exclude<Message, { exit: number }>): Promise<void> {
    const end = this.#end
    if ('progress' in message) return end.progress(message.progress ?? undefined)
    end.progress(undefined)
    if ('out' in message) await end.write('out', Buffer.from(message.out, 'base64'))
    else if ('err' in message) await end.write('err', Buffer.from(message.err, 'base64'))
    else if ('show' in message)
      this.#send({ size: await end.show(Buffer.from(message.show, 'base64').toString(), message.ms) })
    else if ('ask' in message) this.#send({ answer: await end.ask(message.ask) })
    else if ('read' in message) {
      const answer = await end.read(message.read).then(
        (content) => ({ file: content.toString('base64') }),
        (error: Error) => ({ error: error.message }),
      )
      this.#send(answer)
    } else this.#send({ code: await end.run(message.run) })
  }
}

/** The lines of an answer, until it ends or breaks off. */
async function* linesOf(response: http.IncomingMessage): AsyncGenerator<string> {
  let rest = ''
  try {
    for await (const chunk of response.setEncoding('utf8')) {
      const lines = (rest + chunk).split('\n')
      rest = lines.pop() ?? ''
      yield* lines
    }
  } catch {} // croftd ended in the middle
}
