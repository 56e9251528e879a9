import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import http from 'node:http'
import { createInterface } from 'node:readline'
import { ProgressLine } from './cli/progress-line.ts'

/**
 * croft: sends its command line to croftd and does what croftd says: print, ask, read a file, run ssh. It knows no
 * command itself (see http/exec.ts for the conversation), so it starts quickly and never disagrees with the daemon.
 */
const socketPath = process.env.CROFT_SOCKET ?? '/run/croft/croft.sock'
const argv = process.argv.slice(2)
const notReady = 5

type Message =
  | { out: string }
  | { err: string }
  | { progress: { subject: string; step: string; fraction: number } | null }
  | { ask: string }
  | { read: string }
  | { run: { program: string; args: string[] } }
  | { exit: number }

const progress = new ProgressLine(process.stderr)
const request = http.request({
  socketPath,
  path: '/api/exec',
  method: 'POST',
  headers: { 'content-type': 'application/x-ndjson' },
})
let exitCode = 1
let answered = false
let finished = false

request.on('error', (error: NodeJS.ErrnoException) => {
  progress.clear()
  if (!answered) void failToReach(error)
  else if (!finished) end()
})
request.on('response', (response) => {
  answered = true
  if (response.statusCode !== 200) {
    process.stderr.write(`croftd refuses: ${response.statusMessage} (${response.statusCode})\n`)
    process.exit(exitCode)
  }
  const lines = createInterface({ input: response, crlfDelay: Number.POSITIVE_INFINITY })
  let handling: Promise<void> = Promise.resolve()
  lines.on('line', (line) => {
    handling = handling.then(() => handle(JSON.parse(line) as Message))
  })
  lines.on('error', () => {}) // the daemon ended in the middle
  response.once('close', () => {
    void handling.then(() => {
      if (!finished) end()
    })
  })
})

const terminal = process.stdout.isTTY
  ? { columns: Math.max(20, process.stdout.columns ?? 80), color: !process.env.NO_COLOR && process.env.TERM !== 'dumb' }
  : null
send({ argv, terminal, uid: process.getuid?.() ?? -1 })
// Only these read standard input; taking it in for others would swallow what belongs to the shell's next command.
if (argv[0] === 'exec' && !process.stdin.isTTY) passStdin()

process.on('SIGINT', () => {
  progress.clear()
  if (progress.subject) process.stderr.write(`croft waits no longer. What was begun goes on: croft ls shows it.\n`)
  process.exit(130)
})
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1))

function send(value: object): boolean {
  return request.write(`${JSON.stringify(value)}\n`)
}

async function handle(message: Message): Promise<void> {
  if ('progress' in message) {
    if (message.progress) progress.show(message.progress)
    else progress.clear()
    return
  }
  progress.clear()
  if ('out' in message) await write(process.stdout, message.out)
  else if ('err' in message) await write(process.stderr, message.err)
  else if ('ask' in message) send({ answer: await ask(message.ask) })
  else if ('read' in message) send(await readForDaemon(message.read))
  else if ('run' in message) send({ code: await runHere(message.run.program, message.run.args) })
  else if ('exit' in message) {
    exitCode = message.exit
    finished = true
    end()
  }
}

function end(): void {
  if (!finished) process.stderr.write('croftd ended before it answered. journalctl -u croft says why.\n')
  process.exitCode = finished ? exitCode : notReady
  request.destroy()
  process.stdin.destroy()
}

function write(stream: NodeJS.WriteStream, base64: string): Promise<void> {
  return new Promise((resolve) => stream.write(Buffer.from(base64, 'base64'), () => resolve()))
}

async function ask(question: string): Promise<boolean> {
  const lines = createInterface({ input: process.stdin, output: process.stderr })
  const answer = await new Promise<string>((resolve) => {
    lines.question(`${question} [y/N] `, resolve)
    lines.once('close', () => resolve(''))
  })
  lines.close()
  return /^y(es)?$/i.test(answer.trim())
}

async function readForDaemon(path: string): Promise<object> {
  try {
    if (path !== '-') return { file: (await readFile(path)).toString('base64') }
    const chunks: Buffer[] = []
    for await (const chunk of process.stdin) chunks.push(chunk as Buffer)
    return { file: Buffer.concat(chunks).toString('base64') }
  } catch (error) {
    const why = (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'there is no such file' : (error as Error).message
    return { error: `${path} can't be read: ${why}.` }
  }
}

function runHere(program: string, args: readonly string[]): Promise<number> {
  const child = spawn(program, args, { stdio: 'inherit' })
  return new Promise((resolve) => {
    child.once('exit', (code) => resolve(code ?? 255))
    child.once('error', () => {
      process.stderr.write(`${program} is not installed here.\n`)
      resolve(255)
    })
  })
}

function passStdin(): void {
  const input = process.stdin
  input.on('data', (chunk) => {
    if (send({ stdin: (chunk as Buffer).toString('base64') })) return
    input.pause()
    request.once('drain', () => input.resume())
  })
  input.on('end', () => send({ stdin: null }))
  input.on('error', () => send({ stdin: null }))
}

const howToStart = (): string =>
  existsSync('/run/systemd/system')
    ? 'Start it: systemctl start croft   What it says: journalctl -u croft'
    : 'Start it: run install.sh again   What it says: /var/log/croft.log'

/** Help is printed by the CLI itself when there is no daemon to ask. */
async function failToReach(error: NodeJS.ErrnoException): Promise<void> {
  const [first = 'help'] = argv
  if (['help', '--help', '-h'].includes(first)) {
    const { commands } = await import('./commands/index.ts')
    const { printOverview } = await import('./commands/help.ts')
    const view = { columns: 80, color: false, now: new Date() }
    process.stdout.write(printOverview(commands, view))
    process.exit(0)
  }
  const why =
    error.code === 'EACCES'
      ? `You may not use ${socketPath}.\nUse sudo, or join its group and sign in again: sudo usermod -aG croft $USER`
      : `croftd does not answer at ${socketPath}.\n${howToStart()}`
  if (first === 'version') {
    const { version } = await import('./version.ts')
    process.stdout.write(`croft ${version}\n`)
  }
  process.stderr.write(`${why}\n`)
  process.exit(error.code === 'EACCES' ? 4 : notReady)
}
