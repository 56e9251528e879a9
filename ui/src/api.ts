/** A request to the daemon that failed: with the daemon's own words, or because it can't be reached. */
export class ApiProblem extends Error {
  readonly code: string
  readonly hint: string | undefined
  /** The command's argument that is at fault. */
  readonly argument: string | undefined

  constructor(code: string, message: string, hint?: string, argument?: string) {
    super(message)
    this.code = code
    this.hint = hint
    this.argument = argument
  }
}

export interface ApiProgress {
  subject: string
  step: string
  /** 0 to 1; absent where the whole is unknown. */
  fraction?: number
}

export type Args = Readonly<Record<string, unknown>>

const away = () => new ApiProblem('unreachable', 'The box does not answer.', 'The console keeps trying.')

/**
 * Runs a command (`POST /api/commands/<name>`). @param name as on the command line, such as `share ls`
 * @throws ApiProblem with the daemon's code and words, or `unreachable`
 */
export async function call<R>(name: string, args: Args = {}, onProgress?: (progress: ApiProgress) => void): Promise<R> {
  const response = await fetch(`/api/commands/${name.replaceAll(' ', '-')}`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Accept: onProgress ? 'application/x-ndjson' : 'application/json' },
    body: JSON.stringify(args),
  }).catch(() => {
    throw away()
  })
  if (!response.ok) throw problemOf(await response.json().catch(() => undefined))
  if (!onProgress) return response.json()
  for await (const line of linesOf(response)) {
    if (line.progress) onProgress(line.progress)
    if (line.problem) throw problemOf(line.problem)
    if (line.result) return line.result as R
  }
  throw away()
}

interface Line {
  progress?: ApiProgress
  problem?: unknown
  result?: unknown
}

async function* linesOf(response: Response): AsyncGenerator<Line> {
  let rest = ''
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
  try {
    for (;;) {
      const { value, done } = await reader.read()
      if (done) return
      const lines = (rest + value).split('\n')
      rest = lines.pop()!
      for (const line of lines) if (line) yield JSON.parse(line)
    }
  } catch {
    throw away()
  }
}

function problemOf(body: unknown): ApiProblem {
  const { code, detail, hint, argument } = (body ?? {}) as Partial<
    Record<'code' | 'detail' | 'hint' | 'argument', string>
  >
  return detail ? new ApiProblem(code ?? 'internal', detail, hint, argument) : away()
}
