import { upgradeWebSocket } from '@hono/node-server'
import type { Context } from 'hono'
import type { WebSocket } from 'ws'
import { z } from 'zod'
import { type AppContext, type Caller, serveLine } from '../../commands/kit/serve.ts'
import { boxUser, type Principal } from '../../core/access/principal.ts'
import { CroftError } from '../../lib/error.ts'
import { userName } from '../../lib/process/accounts.ts'
import type { Authenticated, HttpEnv } from './listener.ts'

/** The first byte of a binary message to the caller: the output that the rest is for. */
const outputs = { out: 1, err: 2 } as const

/**
 * `GET /api/exec` as a WebSocket: runs a command line for a remote caller, in a conversation.
 *
 * Text messages are JSON, one value each. The caller begins with `{argv, terminal, uid, atPrompt, cwd}`. It sends its
 * standard input as binary messages, and ends the input with `{eof: true}`. It answers requests with `{answer: bool}`,
 * `{file: base64}` or `{error: text}`, `{code: n}`, `{size: {columns, rows}}`. `{revoke: true}` cancels and undoes the
 * operation, if its progress said that it is `revocable`.
 *
 * The daemon's binary messages are output: the first byte is 1 (standard output) or 2 (standard error), the rest is
 * printed. The daemon sends `{progress: …|null}`, requests `{ask: question}`, `{read: path}`,
 * `{run: {program, args, vm, words}}` and `{show: text, ms}`, one at a time, and ends with `{exit: code}`. A program to
 * run enters the VM `vm` with the caller's own `words`; a caller that has another way into the VM uses that instead. A
 * picture to show replaces the previous one, on a terminal that was given with `rows`. The answer is the terminal's
 * size, and asks for the next picture: it is sent after `ms`, or as soon as the size changes.
 */
export const execSocket = (app: AppContext, local: boolean) =>
  upgradeWebSocket((c: Context<HttpEnv>) => {
    const inbox = new Inbox()
    const gone = new AbortController()
    let paused = false
    return {
      onOpen: (_, { raw }) => {
        const socket = raw as unknown as WebSocket
        converse(app, c.var, local, inbox, (data) => sent(socket, data), gone.signal)
          .catch((err) => app.box.log.error({ err }, 'a conversation failed in an unexpected way'))
          .finally(() => {
            inbox.end()
            socket.close()
          })
      },
      onMessage: ({ data }, { raw }) => {
        const socket = raw as unknown as WebSocket
        const message = typeof data === 'string' ? parse(data) : new Uint8Array(data as ArrayBuffer)
        if (message === undefined) return
        inbox.put(message)
        if (!inbox.crowded || paused) return
        paused = true
        socket.pause()
        void inbox.room().then(() => {
          paused = false
          socket.resume()
        })
      },
      onClose: () => {
        gone.abort()
        inbox.end()
      },
    }
  })

const size = z.object({ columns: z.int().min(20).max(10_000), rows: z.int().min(1).max(10_000) })

const hello = z.object({
  argv: z.array(z.string()),
  terminal: size.partial({ rows: true }).extend({ color: z.boolean() }).nullable(),
  uid: z.int(),
  atPrompt: z.boolean().default(false),
  cwd: z.string().optional(),
})
type Hello = z.infer<typeof hello>

const text = z.union([
  z.object({ eof: z.literal(true) }),
  z.object({ answer: z.boolean() }),
  z.object({ file: z.base64() }),
  z.object({ error: z.string() }),
  z.object({ code: z.int() }),
  z.object({ size }),
  z.object({ revoke: z.literal(true) }),
  hello,
])
/** What a caller sends: a piece of its standard input, or a text message. */
type Message = Uint8Array | z.infer<typeof text>
type Answer = Exclude<z.infer<typeof text>, { eof: unknown } | { revoke: unknown } | Hello>

/** Parses a text message. Unknown messages are ignored, as a newer caller may send them. */
function parse(data: string): Message | undefined {
  try {
    return text.safeParse(JSON.parse(data)).data
  } catch {
    return undefined
  }
}

/**
 * Sends a message. Resolves when the connection accepts more, and never rejects: `signal` tells when the caller has
 * gone.
 */
type Send = (data: string | Uint8Array) => Promise<void>

const sent = (socket: WebSocket, data: string | Uint8Array): Promise<void> =>
  new Promise((resolve) => socket.send(data, () => resolve()))

async function converse(
  app: AppContext,
  { actor, reached }: Authenticated,
  local: boolean,
  inbox: Inbox,
  send: Send,
  signal: AbortSignal,
): Promise<void> {
  const say = (value: object) => send(JSON.stringify(value))
  const first = await inbox.hello()
  if (!first) {
    await send(
      Buffer.concat([Buffer.of(outputs.err), Buffer.from('The first message must be {argv, terminal, uid}.\n')]),
    )
    return say({ exit: 2 })
  }
  const { argv, terminal, uid, atPrompt, cwd } = first
  const by = local ? await userOf(uid) : actor.by
  const known = { actor: { ...actor, by }, reached, atPrompt, cwd }
  const exit = await serveLine(app, argv, callerOf(inbox, send, signal, terminal, known, local && uid === 0))
  await say({ exit })
}

/**
 * A caller on the box itself states its own uid, and is trusted: anyone who can open the socket is equivalent to root.
 */
const userOf = async (uid: number): Promise<Principal> => boxUser(await userName(uid), String(uid))

function callerOf(
  inbox: Inbox,
  send: Send,
  signal: AbortSignal,
  terminal: Hello['terminal'],
  known: Authenticated & Pick<Caller, 'atPrompt' | 'cwd'>,
  root: boolean,
): Caller {
  const say = (value: object) => send(JSON.stringify(value))
  const print = (to: keyof typeof outputs) => (chunk: Uint8Array | string) =>
    send(Buffer.concat([Buffer.of(outputs[to]), Buffer.from(chunk)]))
  const request = async (value: object) => {
    await say(value)
    const answer = await inbox.answer()
    if ('error' in answer) throw new CroftError('misuse', answer.error)
    return answer
  }
  return {
    ...known,
    stdin: inbox.stdin(),
    output: { out: print('out'), err: print('err') },
    terminal: terminal ?? undefined,
    progress: (progress, revocable) => void say({ progress: progress ? { ...progress, revocable } : null }),
    revoked: inbox.revoked,
    ask: terminal
      ? async (question) => {
          const answer = await request({ ask: question })
          return 'answer' in answer && answer.answer
        }
      : undefined,
    async readFile(path) {
      const answer = await request({ read: path })
      return 'file' in answer ? Buffer.from(answer.file, 'base64').toString('utf8') : ''
    },
    async handOff(program, args, enters) {
      const answer = await request({ run: { program, args, vm: enters.vm, words: enters.words } })
      return 'code' in answer ? answer.code : 1
    },
    async show(picture, ms) {
      const answer = await request({ show: picture, ms })
      if ('size' in answer) return answer.size
      throw new CroftError('misuse', 'The answer to {show} must be the size of the terminal.')
    },
    signal,
    root,
  }
}

/** How much of a caller's input may be unread, in bytes and in answers. One message may exceed it. */
const mostUnread = 1024 * 1024
const mostAnswers = 16
/** The memory that a chunk takes in addition to its content, in bytes. */
const chunkBytes = 256

/** Messages from the caller that have not been read yet. */
export class Inbox {
  readonly #chunks: (Uint8Array | null)[] = []
  #bytes = 0
  readonly #answers: Answer[] = []
  readonly #hello = Promise.withResolvers<Hello | undefined>()
  #wake: (() => void)[] = []
  readonly #revoking = new AbortController()
  #ended = false

  /** Aborted when the caller asks to cancel and undo the operation. */
  get revoked(): AbortSignal {
    return this.#revoking.signal
  }

  /** Returns the caller's first message; undefined when it is of another kind, or the caller has gone. */
  hello(): Promise<Hello | undefined> {
    return this.#hello.promise
  }

  put(message: Message): void {
    const begins = !(message instanceof Uint8Array) && 'argv' in message
    this.#hello.resolve(begins ? message : undefined)
    if (begins) return
    if (message instanceof Uint8Array) this.#take(message)
    else if ('eof' in message) this.#take(null)
    else if ('revoke' in message) this.#revoking.abort()
    else this.#answers.push(message)
    this.#notify()
  }

  #take(chunk: Uint8Array | null): void {
    this.#chunks.push(chunk)
    this.#bytes += (chunk?.length ?? 0) + chunkBytes
  }

  end(): void {
    this.#ended = true
    this.#hello.resolve(undefined)
    this.#notify()
  }

  async answer(): Promise<Answer> {
    for (;;) {
      const answer = this.#answers.shift()
      if (answer) {
        this.#notify()
        return answer
      }
      if (this.#ended) throw new CroftError('cancelled', 'The caller has gone.')
      await this.#change()
    }
  }

  /** Whether so much is unread that the socket should be paused. */
  get crowded(): boolean {
    return (this.#bytes > mostUnread || this.#answers.length > mostAnswers) && !this.#ended
  }

  async room(): Promise<void> {
    while (this.crowded) await this.#change()
  }

  async *stdin(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const chunk = this.#chunks.shift()
      if (chunk === null) return
      if (chunk) {
        this.#bytes -= chunk.length + chunkBytes
        this.#notify()
        yield chunk
      } else if (this.#ended) return
      else await this.#change()
    }
  }

  #notify(): void {
    const wake = this.#wake
    this.#wake = []
    for (const resolve of wake) resolve()
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#wake.push(resolve))
  }
}
