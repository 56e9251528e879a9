import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { Conversation, goesOn, isYes, Refused, takesBack } from './cli/conversation.ts'
import { LiveView, sizeOf } from './cli/live-view.ts'
import { ProgressLine } from './cli/progress-line.ts'

/**
 * croft: sends its command line to croftd and does what croftd requests: print, ask, read a file, run ssh. The program
 * itself knows no commands (see doors/http/exec-socket.ts for the conversation), so it starts quickly and always agrees
 * with the daemon.
 */
const socketPath = process.env.CROFT_SOCKET ?? '/run/croft/croft.sock'
const argv = process.argv.slice(2)
const notReady = 5
const interrupted = 130

const progress = new ProgressLine(process.stderr)
const picture = new LiveView(process.stdout)
const dumb = process.env.TERM === 'dumb'
const { columns, rows } = sizeOf(process.stdout)
const terminal = process.stdout.isTTY
  ? { columns, rows: dumb ? undefined : rows, color: !process.env.NO_COLOR && !dumb }
  : null
const conversation = new Conversation(
  { socketPath, argv, terminal, uid: process.getuid?.() ?? -1, cwd: currentFolder() },
  {
    write(to, bytes) {
      picture.leave()
      return new Promise((resolve) => process[`std${to}`].write(bytes, () => resolve()))
    },
    progress: (now) => (now ? progress.show(now) : progress.clear()),
    show(text, ms) {
      takeKeys()
      return picture.show(text, ms)
    },
    ask,
    read,
    run: ({ program, args }) => runHere(program, args),
  },
)
conversation.exit.then(end, (error: NodeJS.ErrnoException) => {
  progress.clear()
  if (!(error instanceof Refused)) return failToReach(error)
  process.stderr.write(`${error.message}\n`)
  process.exit(1)
})
// Only `exec` reads standard input. For other commands, reading it would swallow input meant for the shell's next
// command.
if (argv[0] === 'exec' && !process.stdin.isTTY) passStdin()

/** False while a program runs here: Ctrl-C is for that program, and croft exits when it does. */
let interruptible = true
let revoking = false
process.on('SIGINT', () => {
  if (!interruptible) return
  if (picture.shown) leavePicture()
  progress.clear()
  if (progress.revocable && !revoking) {
    revoking = true
    process.stderr.write(takesBack)
    return conversation.revoke()
  }
  if (progress.subject) process.stderr.write(goesOn)
  process.exit(interrupted)
})
process.on('SIGTERM', () => {
  picture.leave()
  process.exit(143)
})
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1))

function end(exit: number | undefined): void {
  picture.leave()
  progress.clear()
  if (exit === undefined)
    process.stderr.write('croftd ended before it answered. To find out why: journalctl -u croft\n')
  process.exitCode = revoking && exit !== 0 ? interrupted : (exit ?? notReady)
  process.stdin.destroy()
}

async function ask(question: string): Promise<boolean> {
  const lines = createInterface({ input: process.stdin, output: process.stderr })
  const answer = await new Promise<string>((resolve) => {
    lines.question(`${question} [y/N] `, resolve)
    lines.once('close', () => resolve(''))
  })
  lines.close()
  return isYes(answer)
}

async function read(path: string): Promise<Buffer> {
  try {
    if (path !== '-') return await readFile(path)
    const chunks: Buffer[] = []
    for await (const chunk of process.stdin) chunks.push(chunk as Buffer)
    return Buffer.concat(chunks)
  } catch (error) {
    const why = (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'there is no such file' : (error as Error).message
    throw new Error(`${path} can't be read: ${why}.`)
  }
}

function runHere(program: string, args: readonly string[]): Promise<number> {
  const child = spawn(program, args, { stdio: 'inherit' })
  interruptible = false
  child.once('close', () => {
    interruptible = true
  })
  return new Promise((resolve) => {
    child.once('exit', (code) => resolve(code ?? 255))
    child.once('error', () => {
      process.stderr.write(`${program} is not installed here.\n`)
      resolve(255)
    })
  })
}

const keys = { interrupt: 3, suspend: 26, quit: 'q'.charCodeAt(0) }

/**
 * Puts the terminal into raw mode while a live view is shown: echoed input would garble the view. In raw mode the
 * terminal no longer turns Ctrl-C and Ctrl-Z into signals, so both are handled here.
 */
function takeKeys(): void {
  const { stdin } = process
  if (!stdin.isTTY || stdin.isRaw) return
  stdin.setRawMode(true)
  if (stdin.listenerCount('data') > 0) return
  stdin.on('data', (typed: Buffer) => {
    if (typed.includes(keys.quit) || typed.includes(keys.interrupt)) leavePicture()
    if (!typed.includes(keys.suspend)) return
    picture.leave()
    stdin.setRawMode(false)
    process.kill(0, 'SIGTSTP')
  })
}

function leavePicture(): never {
  picture.leave()
  process.exit(0)
}

function passStdin(): void {
  const input = process.stdin
  input.on('data', (chunk: Buffer) => {
    input.pause()
    void conversation.stdin(chunk).then(() => input.resume())
  })
  input.on('end', () => void conversation.stdin(null))
  input.on('error', () => void conversation.stdin(null))
}

/** Returns the current folder; undefined when it has been deleted. */
function currentFolder(): string | undefined {
  try {
    return process.cwd()
  } catch {
    return undefined
  }
}

const howToStart = (): string =>
  existsSync('/run/systemd/system')
    ? 'To start it: systemctl start croft   Its log: journalctl -u croft'
    : 'To start it, run install.sh again.   Its log: /var/log/croft.log'

/** Explains why croftd can't be reached, and exits. Prints the help itself, which needs no daemon. */
async function failToReach(error: NodeJS.ErrnoException): Promise<void> {
  const [first = 'help'] = argv
  if (['help', '--help', '-h'].includes(first)) {
    const { commands } = await import('./commands/index.ts')
    const { printOverview } = await import('./commands/box/help.ts')
    const view = { columns: 80, color: false, croft: 'croft', now: new Date() }
    process.stdout.write(printOverview(commands, view))
    process.exit(0)
  }
  const why =
    error.code === 'EACCES'
      ? `You don't have permission to use ${socketPath}.\nUse sudo, or join the group croft and log in again: sudo usermod -aG croft $USER`
      : `croftd does not answer at ${socketPath}.\n${howToStart()}`
  if (first === 'version') {
    const { version } = await import('./lib/version.ts')
    process.stdout.write(`croft ${version}\n`)
  }
  process.stderr.write(`${why}\n`)
  process.exit(error.code === 'EACCES' ? 4 : notReady)
}
