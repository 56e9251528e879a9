import { spawn } from 'node:child_process'

/** Arguments of setpriv(1) that end the program together with this process, however that ends. */
export const endsWithUs = ['--pdeathsig', 'KILL']

export interface Ended {
  code: number
  stdout: string
  stderr: string
}

/**
 * Runs a program to its end and returns its output. It does not throw on failure. Kills the program with SIGKILL after
 * `timeoutMs`.
 */
export async function program(
  name: string,
  args: readonly string[],
  options: { input?: string | Buffer; env?: NodeJS.ProcessEnv; timeoutMs?: number } = {},
): Promise<Ended> {
  const child = spawn(name, args, {
    env: options.env ?? process.env,
    stdio: 'pipe',
    timeout: options.timeoutMs ?? 120_000,
    killSignal: 'SIGKILL',
  })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text) => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr += text
  })
  child.stdin.on('error', () => {})
  child.stdin.end(options.input)
  const code = await new Promise<number>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (status) => resolve(status ?? 128))
  })
  return { code, stdout, stderr }
}

/** As `program`, for one that must not fail. @returns its standard output */
export async function must(
  name: string,
  args: readonly string[],
  options: Parameters<typeof program>[2] = {},
): Promise<string> {
  const ended = await program(name, args, options)
  if (ended.code !== 0)
    throw new Error(`${name} ${args.join(' ')} ended with ${ended.code}: ${ended.stderr}${ended.stdout}`)
  return ended.stdout
}
