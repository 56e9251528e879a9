import { spawn } from 'node:child_process'
import { mkdtemp, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Transfer } from '../commands/inside/transfer.ts'
import { quote } from '../lib/text/command-line.ts'
import { plainLine } from '../lib/text/plain-text.ts'
import { bytes } from '../lib/text/units.ts'
import { tame } from './tame.ts'

/**
 * Copies a file or a folder between this machine and a VM, as a tar stream through ssh. `croft push` and `croft pull`
 * run it on the caller's side, as the caller's user. Data from a VM is untrusted: it is unpacked into a temporary
 * folder, tamed, and moved into place once it is complete. The one argument is a `Transfer` as JSON.
 */

/** A failure that ends the transfer; its message is a sentence. */
class Failed extends Error {}

/** How long a transfer runs before it shows progress. */
const quietMs = 2000

async function push({ ssh, vm, here, there }: Transfer): Promise<void> {
  const found = await stat(here).catch(() => {
    throw new Failed(`There is no file or folder ${here} here.`)
  })
  const kind = found.isDirectory() ? 'folder' : 'file'
  // A link on the command line stands for its target.
  const what = kind === 'folder' ? ['-C', here, '.'] : ['-h', '-C', dirname(here), `./${basename(here)}`]
  const into = quote(`${there}/${kind}`)
  const from = started('tar', ['-cf', '-', ...what])
  const to = started('ssh', [...ssh, `mkdir -m 700 -- ${into} && exec tar -xpof - -C ${into}`])
  await flow(from, to, vm)
}

async function pull({ ssh, vm, here, there, kind = 'file' }: Transfer): Promise<void> {
  const name = basename(there)
  const { folder, to } = await findTarget(here, name)
  const temporary = await mkdtemp(join(folder, '.croft-'))
  const end = (code: number) => () =>
    void rm(temporary, { recursive: true, force: true }).then(() => process.exit(code))
  process.once('SIGINT', end(130)).once('SIGTERM', end(143)).once('SIGHUP', end(129))
  try {
    const what = kind === 'folder' ? `-C ${quote(there)} .` : `-h -C ${quote(dirname(there))} ${quote(`./${name}`)}`
    const from = started('ssh', [...ssh, `exec tar -cf - ${what}`])
    const into = started('tar', ['-x', '--no-same-owner', '-p', '-f', '-', '-C', temporary])
    await flow(from, into, vm)
    for (const { path, why } of await tame(temporary)) say(`Left out: ${plainLine(path)}, ${why}.`)
    await putInPlace(kind === 'folder' ? temporary : join(temporary, name), kind, to)
  } finally {
    await rm(temporary, { recursive: true, force: true })
  }
}

/** Finds the target: inside an existing folder, under the source's name; otherwise the given path. */
async function findTarget(target: string, name: string): Promise<{ folder: string; to: string }> {
  const isFolder = (path: string) =>
    stat(path).then(
      (found) => found.isDirectory(),
      () => false,
    )
  if (await isFolder(target)) return { folder: target, to: join(target, name) }
  const folder = dirname(target)
  if (target.endsWith('/') || !(await isFolder(folder)))
    throw new Failed(`There is no folder ${target.endsWith('/') ? target : folder} here.`)
  return { folder, to: target }
}

/** Moves the result into place atomically, or merges a folder into an existing one. */
async function putInPlace(made: string, kind: 'folder' | 'file', to: string): Promise<void> {
  const sent = await stat(made).catch(() => undefined)
  if (kind === 'file' && !sent?.isFile()) throw new Failed('The VM sent something other than the requested file.')
  const there = await stat(to).catch(() => undefined)
  if (there && there.isDirectory() !== (kind === 'folder'))
    throw new Failed(`${to} is a ${there.isDirectory() ? 'folder' : 'file'}, and a ${kind} can't replace it.`)
  if (!there || kind === 'file') return rename(made, to)
  const copying = started('cp', ['-a', '--remove-destination', '--', `${made}/.`, to])
  copying.child.stdin?.end()
  if ((await copying.code) !== 0) throw new Failed(`Not everything could be copied into ${to}.`)
}

interface Started {
  child: ReturnType<typeof spawn>
  code: Promise<number>
}

/** Starts a program with pipes for its input and output; its standard error is shown. */
function started(program: string, args: readonly string[]): Started {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  const code = new Promise<number>((resolve) => {
    child.once('close', (status) => resolve(status ?? 255))
    child.once('error', () => {
      say(`${program} is not installed here.`)
      resolve(127)
    })
  })
  return { child, code }
}

/** Pipes one program's output into another's input until both have ended. @throws Failed */
async function flow(from: Started, to: Started, label: string): Promise<void> {
  let count = 0
  const began = performance.now()
  const counting = new Transform({
    transform(chunk: Buffer, _, done) {
      count += chunk.length
      done(null, chunk)
    },
  })
  const progress = setInterval(() => {
    if (process.stderr.isTTY && performance.now() - began > quietMs)
      process.stderr.write(`\r  ${label}   ${bytes(count)}\u001b[K`)
  }, 500)
  from.child.stdin?.end()
  to.child.stdout?.resume()
  const flowing = pipeline(from.child.stdout as Readable, counting, to.child.stdin as Writable).catch(() => {})
  const codes = await Promise.all([from.code, to.code])
  await flowing
  clearInterval(progress)
  if (process.stderr.isTTY && performance.now() - began > quietMs) process.stderr.write('\r\u001b[K')
  if (codes.some((code) => code !== 0)) throw new Failed('')
}

function say(text: string): void {
  if (text) process.stderr.write(`${text}\n`)
}

const transfer: Transfer = JSON.parse(process.argv[2]!)
try {
  await (transfer.way === 'push' ? push : pull)(transfer)
} catch (error) {
  say((error as Error).message)
  process.exitCode = 1
}
