import http from 'node:http'
import { createInterface } from 'node:readline'
import type { Logger } from 'pino'
import { z } from 'zod'
import { type CallerEnd, type CallerTerminal, Conversation } from '../../cli/conversation.ts'
import {
  type ConnectingClient,
  type EnterAnswer,
  enterAnswer,
  type enterQuestion,
  type FromDaemon,
  type FromGateway,
} from './messages.ts'

/** Something that the daemon refuses, or can't do: what it says, to be shown as it is. */
export class Refusal extends Error {
  readonly hint: string | undefined
  readonly exit: number

  constructor(message: string, hint: string | undefined, exit: number) {
    super(message)
    this.hint = hint
    this.exit = exit
  }
}

const problem = z.object({ detail: z.string(), hint: z.string().optional(), exit: z.int() })
/** How long a daemon that is being restarted is waited for. */
const patienceMs = 30_000
const againMs = 200

/** The daemon, as the gateway reaches it. */
export class Croftd {
  readonly #socketPath: string
  readonly #agent = new http.Agent({ keepAlive: true, maxSockets: 64 })

  constructor(socketPath: string) {
    this.#socketPath = socketPath
  }

  /** Whether a key may come in at all, or certificates of a CA's. @throws Refusal when the daemon can't be asked */
  async knows(fingerprint: string, authority: boolean): Promise<boolean> {
    const { status } = await this.#ask('/api/ssh/key', { fingerprint, authority })
    return status === 204
  }

  /** Has a VM awake, for somebody who may enter it. @throws Refusal */
  async enter(who: ConnectingClient, wanted: z.input<typeof enterQuestion>): Promise<EnterAnswer> {
    return enterAnswer.parse(await this.#answerOf('/api/ssh/enter', wanted, who))
  }

  /** What may come next on a command line. @throws Refusal */
  async complete(who: ConnectingClient, words: readonly string[]): Promise<string[]> {
    const answer = await this.#answerOf('/api/commands/complete', { words }, who)
    return z.object({ candidates: z.array(z.string()) }).parse(answer).candidates
  }

  /** @param atPrompt whether it was typed at the lobby's prompt, where `croft start web` is a command */
  converse(
    who: ConnectingClient,
    argv: readonly string[],
    terminal: CallerTerminal | null,
    end: CallerEnd,
    atPrompt: boolean,
  ) {
    const opening = { socketPath: this.#socketPath, headers: headersOf(who), argv, terminal, uid: -1, atPrompt }
    return new Conversation(opening, end)
  }

  /**
   * Tells the daemon who is in, now and whenever that changes, and hears from it; again whenever it has been started anew.
   * @returns tells it what is so now
   */
  link(state: () => FromGateway, heard: (message: FromDaemon) => void, log: Logger): () => void {
    let request: http.ClientRequest | undefined
    /** All is told each time: what waits still is told as it is then. */
    const tell = () => {
      if (!request?.writableNeedDrain) request?.write(`${JSON.stringify(state())}\n`)
    }
    const begin = () => {
      const mine = http.request({
        socketPath: this.#socketPath,
        path: '/api/ssh/link',
        method: 'POST',
        headers: { 'content-type': 'application/x-ndjson' },
      })
      request = mine
      mine.on('drain', tell)
      mine.on('error', (err) => log.debug({ err }, 'the daemon is not there'))
      mine.once('close', () => {
        request = undefined
        setTimeout(begin, againMs * 2)
      })
      mine.on('response', (response) => {
        const lines = createInterface({ input: response })
        lines.on('error', () => {})
        lines.on('line', (line) => heard(JSON.parse(line) as FromDaemon))
        response.on('error', () => {})
      })
      tell()
    }
    begin()
    return tell
  }

  async #answerOf(path: string, body: object, who: ConnectingClient): Promise<unknown> {
    const { status, text } = await this.#ask(path, body, who)
    const value: unknown = JSON.parse(text)
    if (status === 200) return value
    const said = problem.safeParse(value)
    throw said.success
      ? new Refusal(said.data.detail, said.data.hint, said.data.exit)
      : new Refusal('Croft failed in a way it did not expect.', undefined, 1)
  }

  /** Asks, and while the daemon is not there, or goes away in the middle, again: what is asked here changes nothing twice. */
  async #ask(path: string, body: object, who?: ConnectingClient): Promise<{ status: number; text: string }> {
    const late = performance.now() + patienceMs
    for (;;) {
      try {
        return await this.#once(path, JSON.stringify(body), who)
      } catch {
        if (performance.now() > late) throw new Refusal('croftd does not answer.', 'On the box: journalctl -u croft', 5)
        await new Promise((resolve) => setTimeout(resolve, againMs))
      }
    }
  }

  #once(path: string, body: string, who: ConnectingClient | undefined): Promise<{ status: number; text: string }> {
    return new Promise((resolve, reject) => {
      const headers = { 'content-type': 'application/json', ...(who && headersOf(who)) }
      const request = http.request(
        { socketPath: this.#socketPath, agent: this.#agent, path, method: 'POST', headers },
        async (response) => {
          try {
            let text = ''
            for await (const chunk of response.setEncoding('utf8')) text += chunk
            resolve({ status: response.statusCode ?? 0, text })
          } catch (error) {
            reject(error)
          }
        },
      )
      request.on('error', reject)
      request.end(body)
    })
  }
}

const headersOf = ({ fingerprint, as, address, reached }: ConnectingClient): Record<string, string> => ({
  'x-croft-key': fingerprint,
  'x-croft-as': encodeURIComponent(as),
  'x-croft-from': address,
  ...(reached !== undefined && { 'x-croft-reached': reached }),
})
