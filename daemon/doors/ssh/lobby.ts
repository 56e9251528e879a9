import type { ServerChannel } from 'ssh2'
import { type CallerEnd, goesOn, isYes, Refused, takesBack } from '../../cli/conversation.ts'
import { LiveView, sizeOf } from '../../cli/live-view.ts'
import { ProgressLine } from '../../cli/progress-line.ts'
import { asCroftError } from '../../lib/error.ts'
import { splitWords } from '../../lib/shell-words.ts'
import type { TerminalSize } from '../../lib/terminal-size.ts'
import { type Croftd, Refusal } from './croftd.ts'
import type { ConnectingClient } from './messages.ts'
import { Tty } from './tty.ts'

/** A client's terminal, as it was asked for. */
export interface LobbyTerminal {
  size: TerminalSize
  color: boolean
  /** One whose cursor can't be moved. */
  dumb: boolean
}

export interface LobbyParts {
  croftd: Croftd
  who: ConnectingClient
  /** Lines typed in the lobby by this key before, the latest first. */
  history: string[]
  /** Has the client's channel be a session in a VM until that is over. @throws Refusal */
  enter(channel: ServerChannel, vm: string, words: readonly string[]): Promise<number>
}

const interrupted = 130
const notReady = 5
/** What a file on standard input may have, in bytes. */
const largestFile = 1024 * 1024

/** The key that leaves a picture. */
const quit = 'q'

const leaving = new Set(['exit', 'quit', 'logout'])
const noFiles = 'Files of yours are not seen from here. Send it on standard input, and name it "-".'

/** One command line, as ssh brings it. @returns its exit code */
export async function lobbyLine(parts: LobbyParts, channel: ServerChannel, line: string): Promise<number> {
  let words: string[]
  try {
    words = wordsOf(line)
  } catch (error) {
    channel.stderr.write(`${asCroftError(error).message}\n`)
    return 2
  }
  const input = stdinOf(channel)
  const end: CallerEnd = {
    write: (to, bytes) => written(to === 'out' ? channel : channel.stderr, bytes),
    progress: () => {},
    show: async () => sizeOf({}),
    ask: async () => false,
    read: async (path) => {
      if (path !== '-') throw new Error(noFiles)
      const chunks: Buffer[] = []
      let size = 0
      for await (const chunk of input) {
        chunks.push(chunk)
        size += chunk.length
        if (size > largestFile) throw new Error('That is more than 1 MiB.')
      }
      return Buffer.concat(chunks)
    },
    run: async () => {
      channel.stderr.write('A shell needs a terminal: ssh -t\n')
      return 2
    },
  }
  const conversation = parts.croftd.converse(parts.who, words, null, end, false)
  channel.once('close', () => conversation.leave())
  if (words[0] === 'exec') void passOn(input, conversation)
  return ended(conversation.exit, (text) => written(channel.stderr, Buffer.from(text)))
}

/** The prompt, until who is there leaves. */
export async function lobbyPrompt(parts: LobbyParts, tty: Tty, terminal: LobbyTerminal): Promise<number> {
  const prompt = terminal.color ? '\u001b[32mcroft>\u001b[0m ' : 'croft> '
  tty.screen.write('help lists what can be done here, Tab completes, exit leaves.\n\n')
  await lobbyLineOnTty(parts, tty, terminal, 'ls', true)
  let code = 0
  for (;;) {
    const line = await tty.line(prompt, true)
    if (line === undefined) {
      if (!tty.over) tty.screen.write('\n')
      return 0
    }
    const typed = line.trim()
    if (leaving.has(typed)) return 0
    if (typed) code = await lobbyLineOnTty(parts, tty, terminal, typed, true)
    if (tty.over) return code
  }
}

/** The terminal of a client in the lobby. */
export const lobbyTty = ({ croftd, who, history }: LobbyParts, channel: ServerChannel, { size }: LobbyTerminal): Tty =>
  new Tty(channel, size, history, async (line) => {
    const words = line.split(/\s+/)
    if (words[0] === '') words.shift()
    if (words[0] === 'croft' && words.length > 1) words.shift()
    const begun = words.at(-1) ?? ''
    const hits = await croftd.complete(who, words.length ? words : [''])
    return { hits: hits.length === 1 ? [`${hits[0]} `] : hits, begun }
  })

/** One command line of a client with a terminal. @returns its exit code */
export async function lobbyLineOnTty(
  parts: LobbyParts,
  tty: Tty,
  { color, dumb }: LobbyTerminal,
  line: string,
  atPrompt = false,
): Promise<number> {
  const { screen } = tty
  let words: string[]
  try {
    words = wordsOf(line)
  } catch (error) {
    screen.write(`${asCroftError(error).message}\n`)
    return 2
  }
  const progress = new ProgressLine(screen)
  const picture = new LiveView(screen)
  const end: CallerEnd = {
    write(_, bytes) {
      picture.leave()
      return written(screen, bytes)
    },
    progress: (now) => (now ? progress.show(now) : progress.clear()),
    show: (text, ms) => picture.show(text, ms),
    ask: async (question) => isYes(await tty.ask(`${question} [y/N] `)),
    read: async (path) => {
      if (path !== '-') throw new Error(noFiles)
      return Buffer.from(await pasted(tty))
    },
    run: ({ vm, words }) => tty.lend((channel) => parts.enter(channel, vm, words)),
  }
  const { columns, rows } = sizeOf(screen)
  const asked = { columns, rows: dumb ? undefined : rows, color }
  const conversation = parts.croftd.converse(parts.who, words, asked, end, atPrompt)
  let left: number | undefined
  let revoking = false
  const leave = () => {
    if (left !== undefined) return
    if (progress.revocable && !revoking) {
      revoking = true
      progress.clear()
      screen.write(`^C\n${takesBack}`)
      return conversation.revoke()
    }
    left = picture.shown ? 0 : interrupted
    progress.clear()
    if (!picture.shown) screen.write('^C\n')
    if (progress.subject) screen.write(goesOn)
    picture.leave()
    conversation.leave()
  }
  const keys = (typed: Buffer) => {
    if (!picture.shown) return false
    if (typed.includes(quit)) leave()
    return true
  }
  const code = await tty.whileBusy(leave, keys, () =>
    ended(conversation.exit, async (text) => {
      picture.leave()
      progress.clear()
      if (left === undefined) screen.write(text)
    }),
  )
  picture.leave()
  return left ?? code
}

/** What a file may have that is pasted, in characters: more of it is not a key. */
const mostPasted = 256 * 1024

/** Lines up to one that is empty: a file, on a terminal. @throws Error when it is too long */
async function pasted(tty: Tty): Promise<string> {
  tty.screen.write('Paste it; an empty line ends it.\n')
  const lines: string[] = []
  for (let left = mostPasted; ; ) {
    const line = await tty.ask('')
    if (!line && left < 0) throw new Error('That is more than 256 kB.')
    if (!line) return lines.map((each) => `${each}\n`).join('')
    left -= line.length
    if (left >= 0) lines.push(line)
    else if (lines.length > 0) lines.length = 0
  }
}

/** The words of a command line; `croft` before them may be left out. @throws CroftError */
function wordsOf(line: string): string[] {
  const words = splitWords(line)
  return words[0] === 'croft' ? words.slice(1) : words
}

async function ended(exit: Promise<number | undefined>, say: (text: string) => Promise<void>): Promise<number> {
  try {
    const code = await exit
    if (code === undefined)
      await say('croftd ended before it answered. What was begun is finished or undone: croft ls\n')
    return code ?? notReady
  } catch (error) {
    const known = error instanceof Refused || error instanceof Refusal
    await say(known ? `${error.message}\n` : 'croftd does not answer.\n')
    return error instanceof Refusal ? error.exit : notReady
  }
}

const written = (to: NodeJS.WritableStream, bytes: Buffer): Promise<void> =>
  new Promise((resolve) => {
    if (to.write(bytes)) return resolve()
    to.once('drain', resolve)
    to.once('close', resolve)
  })

/** What a client sends, from now on, one chunk at a time. */
async function* stdinOf(channel: ServerChannel): AsyncGenerator<Buffer> {
  // Its own iterator would close the channel in the end, and nothing could be answered any more.
  for await (const chunk of channel.iterator({ destroyOnReturn: false })) yield chunk as Buffer
}

async function passOn(input: AsyncIterable<Buffer>, to: { stdin(chunk: Buffer | null): Promise<void> }): Promise<void> {
  try {
    for await (const chunk of input) await to.stdin(chunk)
  } finally {
    await to.stdin(null)
  }
}
