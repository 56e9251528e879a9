import type { Context } from 'hono'
import { type AppContext, serveLine } from '../../commands/kit/serve.ts'
import { CroftError, errorCodes } from '../../lib/error.ts'
import { splitWords } from '../../lib/text/shell-words.ts'
import type { HttpEnv } from './listener.ts'

/** The maximum size of an answer, in bytes. An answer is buffered and sent as a whole. */
const mostText = 8 * 1024 * 1024

/**
 * `POST /api/exec`: runs a command line that is sent as text. The answer is the command's output, with the exit code in
 * `X-Croft-Exit`. A command that prints more than 8 MiB is ended; the answer then says so, with exit code 2.
 */
export async function execText(app: AppContext, c: Context<HttpEnv>): Promise<Response> {
  const type = c.req.header('content-type') ?? 'text/plain'
  if (!type.startsWith('text/plain'))
    throw new CroftError('misuse', `A command line must be sent as text/plain, not as ${type.slice(0, 60)}.`, {
      hint: 'For standard input and questions, use the WebSocket: GET /api/exec',
    })
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
        new CroftError('misuse', "Files can't be named here.", { hint: 'POST /api/commands/… accepts their content.' }),
      ),
    signal: AbortSignal.any([c.req.raw.signal, tooMuch.signal]),
    root: false,
    actor: c.var.actor,
    reached: c.var.reached,
    atPrompt: false,
  })
  if (tooMuch.signal.aborted)
    said.push(
      Buffer.from('\nThe output was cut off here, after 8 MiB. The WebSocket at /api/exec has no such limit.\n'),
    )
  c.header('X-Croft-Exit', String(tooMuch.signal.aborted ? errorCodes['too-large'].exit : exit))
  c.header('Content-Type', 'text/plain; charset=utf-8')
  return c.body(Buffer.concat(said))
}
