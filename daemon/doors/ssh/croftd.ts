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

/** A request that the daemon refused or could not carry out. The message is shown to the client unchanged. */
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
/** How long to wait for a daemon that is restarting, and how long between attempts. */
const patienceMs = 30_000
const againMs = 200

/** The gateway's client for the daemon. */
export class Croftd {
  readonly #socketPath: string
  readonly #agent = new http.Agent({ keepAlive: true, maxSockets: 64 })

  constructor(socketPath: string) {
    this.#socketPath = socketPath
  }

  /**
   * Tells whether a key is admitted anywhere; with `authority`, whether certificates that this CA key signed are.
   * @throws Refusal when the daemon can't be asked
   */
  async knows(fingerprint: string, authority: boolean): Promise<boolean> {
    const { status } = await this.#ask('/api/ssh/key', { fingerprint, authority })
    return status === 204
  }

  /** Wakes a VM for a client that may enter it, and returns how to connect to the VM. @throws Refusal */
  async enter(who: ConnectingClient, wanted: z.input<typeof enterQuestion>): Promise<EnterAnswer> {
    return enterAnswer.parse(await this.#answerOf('/api/ssh/enter', wanted, who))
  }

  /** Returns the candidates for completing a command line. @throws Refusal */
  async complete(who: ConnectingClient, words: readonly string[]): Promise<string[]> {
    const answer = await this.#answerOf('/api/commands/complete', { words }, who)
    return z.object({ candidates: z.array(z.string()) }).parse(answer).candidates
  }

  /** @param atPrompt whether the line was typed at the lobby's prompt, where `croft start web` is a command */
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
   * Tells the daemon which sessions and keys are connected, and receives its messages. Reconnects whenever the daemon
   * has restarted.
   * @param state returns the whole state to send @returns sends the current state; call it after each change
   */
  link(state: () => FromGateway, heard: (message: FromDaemon) => void, log: Logger): () => void {
    let request: http.ClientRequest | undefined
    /** Each message carries the whole state, so one that can't be sent yet is replaced by a newer one on `drain`. */
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
      mine.on('error', (err) => log.debug({ err }, 'the daemon can not be reached'))
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

  /**
   * Sends a request, and retries while the daemon can't be reached or goes away midway: all these requests are
   * idempotent.
   */
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
