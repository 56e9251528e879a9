import type { Context as HonoContext } from 'hono'
import { stream } from 'hono/streaming'
import { z } from 'zod'
import { type AppContext, type Caller, serveLine } from '../../commands/kit/serve.ts'
import { boxUser, type Principal } from '../../core/access/principal.ts'
import { userName } from '../../lib/accounts.ts'
import { CroftError, errorCodes } from '../../lib/error.ts'
import { readLines } from '../../lib/ndjson.ts'
import { splitWords } from '../../lib/shell-words.ts'
import type { Authenticated, HttpEnv } from './listener.ts'

/**
 * A command line run for somebody elsewhere.
 *
 * `text/plain`: the body is the line; the answer is what it prints, as text, with its exit code in `X-Croft-Exit`. One that
 * prints more than 8 MiB is ended; the answer says so at its end, with exit code 2.
 *
 * `application/x-ndjson`: a conversation, one JSON value per line in both directions at once. The caller begins with
 * `{argv, terminal, uid, atPrompt, cwd}` and may then send `{stdin: base64}`, `{stdin: null}` (its end), and answers: `{answer: bool}`,
 * `{file: base64}` or `{error: text}`, `{code: n}`, `{size: {columns, rows}}`; `{revoke: true}` has what was begun taken back,
 * where its progress said that it is `revocable`. The daemon sends `{out|err: base64}`,
 * `{progress: …|null}`, asks `{ask: question}`, `{read: path}`, `{run: {program, args, vm, words}}`, `{show: base64, ms}`, and
 * ends with `{exit: code}`. It asks one thing at a time. What is to be run enters a VM, with words of the caller's own; one
 * that has another way there takes that. What is to be shown is a picture in the place of the one before, to a terminal
 * that came with `rows`; the answer is its size, and asks for the next, after `ms` or as soon as it has another size.
 */
export async function execRoute(app: AppContext, c: HonoContext<HttpEnv>, local: boolean): Promise<Response> {
  const type = c.req.header('content-type') ?? 'text/plain'
  if (type.startsWith('text/plain')) return execText(app, c)
  if (type.startsWith('application/x-ndjson')) return execConversation(app, c, local)
  throw new CroftError(
    'misuse',
    `A command line comes as text/plain or application/x-ndjson, not as ${type.slice(0, 60)}.`,
  )
}

/** What a text may have, in bytes: nothing of it is sent before its end. */
const mostText = 8 * 1024 * 1024

async function execText(app: AppContext, c: HonoContext<HttpEnv>): Promise<Response> {
  const words = splitWords((await c.req.text()).trim())
  if (words[0] === 'croft') words.shift()
  const said: Buffer[] = []
  let left = mostText
  const tooMuch = new AbortController()
  const say = async (chunk: Uint8Array | string) => {
    const bytes = Buffer.from(chunk)
    if (bytes.length > left) tooMuch.abort()
    if (left > 0) said.push(bytes.subarray(0, left))
    left = Math.max(0, left - bytes.length)
  }
  const exit = await serveLine(app, words, {
    stdin: undefined,
    output: { out: say, err: say },
    terminal: undefined,
    progress: () => {},
    readFile: () =>
      Promise.reject(
        new CroftError('misuse', 'Files can not be named here.', { hint: 'POST /api/commands/… takes their content.' }),
      ),
    signal: AbortSignal.any([c.req.raw.signal, tooMuch.signal]),
    root: false,
    actor: c.get('actor'),
    reached: c.get('reached'),
    atPrompt: false,
  })
  if (tooMuch.signal.aborted)
    said.push(Buffer.from('\nIt was cut off here, after 8 MiB. As application/x-ndjson all of it comes.\n'))
  c.header('X-Croft-Exit', String(tooMuch.signal.aborted ? errorCodes['too-large'].exit : exit))
  c.header('Content-Type', 'text/plain; charset=utf-8')
  return c.body(Buffer.concat(said))
}

const size = z.object({ columns: z.int().min(20).max(10_000), rows: z.int().min(1).max(10_000) })

const hello = z.object({
  argv: z.array(z.string()),
  terminal: size.partial({ rows: true }).extend({ color: z.boolean() }).nullable(),
  uid: z.int(),
  atPrompt: z.boolean().default(false),
  cwd: z.string().optional(),
})

const message = z.union([
  z.object({ stdin: z.base64().nullable() }),
  z.object({ answer: z.boolean() }),
  z.object({ file: z.base64() }),
  z.object({ error: z.string() }),
  z.object({ code: z.int() }),
  z.object({ size }),
  z.object({ revoke: z.literal(true) }),
])
type Message = z.infer<typeof message>
type Answer = Exclude<Message, { stdin: unknown } | { revoke: unknown }>

/** Sends a line; resolves when the caller takes more, and never fails: `signal` says that the caller has gone. */
type Send = (value: object) => Promise<void>

function execConversation(app: AppContext, c: HonoContext<HttpEnv>, local: boolean): Response {
  const body = c.req.raw.body
  if (!body) throw new CroftError('misuse', 'The conversation has no beginning.')
  c.header('Content-Type', 'application/x-ndjson')
  return stream(c, async (out) => {
    const gone = new AbortController()
    out.onAbort(() => gone.abort())
    const over = new AbortController()
    const lines = readLines(body, over.signal)
    const send: Send = async (value) => void (await out.write(`${JSON.stringify(value)}\n`))
    const first = await lines.next()
    const parsed = hello.safeParse(first.done ? undefined : first.value)
    if (!parsed.success) {
      await send({ err: Buffer.from('The conversation does not begin as it should.\n').toString('base64') })
      await send({ exit: 2 })
      return
    }
    const inbox = new Inbox()
    readInto(lines, inbox).catch(() => inbox.end())
    const { argv, terminal, uid, atPrompt, cwd } = parsed.data
    const { actor, reached } = c.var
    const known = local ? { actor: { ...actor, by: await userOf(uid) }, reached } : c.var
    const exit = await serveLine(
      app,
      argv,
      callerOf(inbox, send, gone.signal, terminal, { ...known, atPrompt, cwd }, local && uid === 0),
    )
    await send({ exit })
    inbox.end()
    over.abort()
  })
}

/** Who is at a command line of this box is what it says itself: who may use the socket is as much as root. */
const userOf = async (uid: number): Promise<Principal> => boxUser(await userName(uid), String(uid))

function callerOf(
  inbox: Inbox,
  send: Send,
  signal: AbortSignal,
  terminal: Caller['terminal'] | null,
  { actor, reached, atPrompt, cwd }: Authenticated & Pick<Caller, 'atPrompt' | 'cwd'>,
  root: boolean,
): Caller {
  const base64 = (chunk: Uint8Array | string) => Buffer.from(chunk).toString('base64')
  const request = async (value: object) => {
    await send(value)
    const answer = await inbox.answer()
    if ('error' in answer) throw new CroftError('misuse', answer.error)
    return answer
  }
  return {
    stdin: inbox.stdin(),
    output: { out: (chunk) => send({ out: base64(chunk) }), err: (chunk) => send({ err: base64(chunk) }) },
    terminal: terminal ?? undefined,
    actor,
    reached,
    atPrompt,
    cwd,
    progress: (progress, revocable) => void send({ progress: progress ? { ...progress, revocable } : null }),
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
      const answer = await request({ show: base64(picture), ms })
      if ('size' in answer) return answer.size
      throw new CroftError('misuse', 'The size of a terminal was asked for.')
    },
    signal,
    root,
  }
}

/** What may lie unread of a caller's, in bytes and in answers; one line more may come beyond. */
const mostUnread = 1024 * 1024
const mostAnswers = 16
/** What a chunk takes besides what it holds. */
const chunkBytes = 256

/** What the caller has sent and nobody has taken yet. */
export class Inbox {
  readonly #chunks: (Uint8Array | null)[] = []
  #bytes = 0
  readonly #answers: Answer[] = []
  #wake: (() => void)[] = []
  readonly #revoking = new AbortController()
  #ended = false

  /** Aborted when the caller asks to take back what was begun. */
  get revoked(): AbortSignal {
    return this.#revoking.signal
  }

  put(value: Message): void {
    if ('revoke' in value) this.#revoking.abort()
    else if ('stdin' in value) {
      const chunk = value.stdin === null ? null : Buffer.from(value.stdin, 'base64')
      this.#chunks.push(chunk)
      this.#bytes += (chunk?.length ?? 0) + chunkBytes
    } else this.#answers.push(value)
    this.#notify()
  }

  end(): void {
    this.#ended = true
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

  /** Whether much lies here: the reader stops reading then. */
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

async function readInto(lines: AsyncGenerator<unknown>, inbox: Inbox): Promise<void> {
  for await (const value of lines) {
    const parsed = message.safeParse(value)
    if (parsed.success) inbox.put(parsed.data)
    await inbox.room()
  }
  inbox.end()
}
