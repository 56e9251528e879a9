import { type ChildProcess, spawn } from 'node:child_process'
import { CroftError, diskFull } from '../error.ts'

export interface RunOptions {
  /** Text or bytes for the program's standard input. Without it, standard input is empty. */
  input?: string | Uint8Array
  cwd?: string
  /** The whole environment. Default: the daemon's own, with LC_ALL=C so that programs can parse the output. */
  env?: NodeJS.ProcessEnv
  signal?: AbortSignal | undefined
  /** Ends the program with SIGKILL after this many milliseconds. Default 60,000. */
  timeoutMs?: number
  /** Called with each whole line of standard output as it comes. */
  onLine?: (line: string) => void
  /** Exit codes that are an answer rather than a failure. Default [0]. */
  okCodes?: readonly number[]
}

export interface RunResult {
  code: number
  stdout: string
  stderr: string
}

const maxOutputBytes = 8 * 1024 * 1024

/**
 * Runs a program with an argument array, never through a shell, and waits for it to end.
 * The program gets its own process group, and the whole group is killed on abort or timeout.
 * @throws CroftError `program-failed` (with the last lines of standard error), `timed-out`, `cancelled`,
 * or `disk-full` when the program says that no space is left.
 */
export async function runProgram(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  const { signal, timeoutMs = 60_000, okCodes = [0] } = options
  if (signal?.aborted)
    throw new CroftError('cancelled', `${program} was not started, because the request was cancelled.`)
  const child = spawn(program, args, {
    cwd: options.cwd,
    env: options.env ?? { ...process.env, LC_ALL: 'C' },
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
  })
  const out = collect(child.stdout, options.onLine)
  const err = collect(child.stderr)
  child.stdin.on('error', () => {}) // a program may ignore its input
  child.stdin.end(options.input)

  let ended: 'timed-out' | 'cancelled' | undefined
  const kill = (why: 'timed-out' | 'cancelled') => {
    ended = why
    killGroup(child)
  }
  const timer = setTimeout(kill, timeoutMs, 'timed-out')
  const onAbort = () => kill('cancelled')
  signal?.addEventListener('abort', onAbort, { once: true })
  try {
    const code = await new Promise<number>((resolve, reject) => {
      child.once('error', reject)
      child.once('close', (status, by) => resolve(status ?? (by ? 128 : 1)))
    })
    const result = { code, stdout: out(), stderr: err() }
    if (ended === 'timed-out') {
      throw new CroftError('timed-out', `${program} did not finish within ${timeoutMs / 1000} s.`, {
        details: { args, ...result },
      })
    }
    if (ended === 'cancelled')
      throw new CroftError('cancelled', `${program} was stopped, because the request was cancelled.`)
    if (!okCodes.includes(code)) throw failure(program, args, result)
    return result
  } catch (error) {
    if (error instanceof CroftError) throw error
    throw new CroftError('program-failed', `${program} could not be started.`, {
      hint: `Check whether it is installed: croft doctor`,
      cause: error,
    })
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', onAbort)
  }
}

function failure(program: string, args: readonly string[], result: RunResult): CroftError {
  const lines = result.stderr.trimEnd().split('\n').slice(-5).join('\n')
  if (/No space left on device|not enough space/i.test(result.stderr)) {
    return diskFull({ details: { program, args, stderr: lines } })
  }
  return new CroftError(
    'program-failed',
    `${program} failed (exit code ${result.code}): ${lines || 'it printed no error'}`,
    {
      details: { args, code: result.code, stderr: lines },
    },
  )
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, 'SIGKILL')
  } catch {
    // the group has ended already
  }
}

function collect(stream: NodeJS.ReadableStream, onLine?: (line: string) => void): () => string {
  const chunks: string[] = []
  let size = 0
  let rest = ''
  stream.setEncoding('utf8')
  stream.on('data', (chunk: string) => {
    if (size < maxOutputBytes) chunks.push(chunk)
    size += chunk.length
    if (!onLine) return
    const lines = (rest + chunk).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) onLine(line)
  })
  stream.on('end', () => {
    if (rest && onLine) onLine(rest)
  })
  return () => chunks.join('')
}
