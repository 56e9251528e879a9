import type { ServerChannel } from 'ssh2'
import { type CallerEnd, goesOn, isYes, Refused, takesBack } from '../../cli/conversation.ts'
import { LiveView, sizeOf } from '../../cli/live-view.ts'
import { ProgressLine } from '../../cli/progress-line.ts'
import { asCroftError } from '../../lib/error.ts'
import { splitWords } from '../../lib/text/shell-words.ts'
import type { TerminalSize } from '../../lib/text/terminal-size.ts'
import { type Croftd, Refusal } from './croftd.ts'
import type { ConnectingClient } from './messages.ts'
import { Tty } from './tty.ts'

/** The terminal that a client asked for. */
export interface LobbyTerminal {
  size: TerminalSize
  color: boolean
  /** Whether the terminal can't move its cursor. */
  dumb: boolean
}

export interface LobbyParts {
  croftd: Croftd
  who: ConnectingClient
  /** Lines that were typed in the lobby with this key, the latest first. */
  history: string[]
  /**
   * Connects the client's channel to a session in a VM until that session ends.
   * @returns its exit code
   * @throws Refusal
   */
  enter(channel: ServerChannel, vm: string, words: readonly string[]): Promise<number>
}

const interrupted = 130
const notReady = 5
/** The maximum size of a file on standard input, in bytes. */
const largestFile = 1024 * 1024

/** The key that closes a live view. */
const quit = 'q'

const leaving = new Set(['exit', 'quit', 'logout'])
const noFiles = 'The lobby can\'t see your files. Send the file on standard input and name it "-".'

/** Runs a command line that a client without a terminal passed to ssh. @returns its exit code */
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
        if (size > largestFile) throw new Error('The file is larger than 1 MiB.')
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

/** Runs the prompt until the client leaves. @returns the exit code of the last command, or 0 */
export async function lobbyPrompt(parts: LobbyParts, tty: Tty, terminal: LobbyTerminal): Promise<number> {
  const prompt = terminal.color ? '\u001b[32mcroft>\u001b[0m ' : 'croft> '
  tty.screen.write('help lists the commands, Tab completes, exit leaves.\n\n')
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

/** Creates the terminal of a client in the lobby. */
export const lobbyTty = ({ croftd, who, history }: LobbyParts, channel: ServerChannel, { size }: LobbyTerminal): Tty =>
  new Tty(channel, size, history, async (line) => {
    const words = line.split(/\s+/)
    if (words[0] === '') words.shift()
    if (words[0] === 'croft' && words.length > 1) words.shift()
    const begun = words.at(-1) ?? ''
    const hits = await croftd.complete(who, words.length ? words : [''])
    return { hits: hits.length === 1 ? [`${hits[0]} `] : hits, begun }
  })

/** Runs a command line of a client with a terminal. @returns its exit code */
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

/** The maximum length of a pasted file, in characters. No key is longer. */
const mostPasted = 256 * 1024

/** Reads a file that is pasted into a terminal, up to an empty line. @throws Error when the file is too long */
async function pasted(tty: Tty): Promise<string> {
  tty.screen.write('Paste the file, then finish with an empty line.\n')
  const lines: string[] = []
  for (let left = mostPasted; ; ) {
    const line = await tty.ask('')
    if (!line && left < 0) throw new Error('The file is longer than 256 kB.')
    if (!line) return lines.map((each) => `${each}\n`).join('')
    left -= line.length
    if (left >= 0) lines.push(line)
    else if (lines.length > 0) lines.length = 0
  }
}

/** Splits a command line into words, without a leading `croft`. @throws CroftError */
function wordsOf(line: string): string[] {
  const words = splitWords(line)
  return words[0] === 'croft' ? words.slice(1) : words
}

async function ended(exit: Promise<number | undefined>, say: (text: string) => Promise<void>): Promise<number> {
  try {
    const code = await exit
    if (code === undefined)
      await say(
        'croftd ended before it answered. It will finish or undo the operation. See the result with croft ls.\n',
      )
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

/** Yields what a client sends, one chunk at a time. */
async function* stdinOf(channel: ServerChannel): AsyncGenerator<Buffer> {
  // By default the iterator destroys the channel when it returns, and no reply could be sent.
  for await (const chunk of channel.iterator({ destroyOnReturn: false })) yield chunk as Buffer
}

async function passOn(input: AsyncIterable<Buffer>, to: { stdin(chunk: Buffer | null): Promise<void> }): Promise<void> {
  try {
    for await (const chunk of input) await to.stdin(chunk)
  } finally {
    await to.stdin(null)
  }
}
