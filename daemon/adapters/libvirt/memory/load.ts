import { spawn } from 'node:child_process'
import { constants } from 'node:fs'
import { type FileHandle, open, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { CroftError } from '../../../lib/error.ts'
import { runProgram } from '../../../lib/process/run.ts'
import {
  inFormat,
  readSaveImage,
  type SaveImage,
  type SaveImageHeader,
  type Storage,
  writeSaveImage,
} from './save-image.ts'
import type { Summary } from './stream-filter.ts'

/** A filter for a stream: the arguments of filter-stream.ts. */
export type Filter = readonly ['zero-pages'] | readonly ['difference' | 'merge' | 'extract', base: string]

/**
 * Reads the part of a save image before its stream.
 * @throws CroftError `memory-unusable`, also when the file is missing
 */
export async function openSaveImage(path: string): Promise<SaveImage> {
  await using file = await open(path, 'r').catch(() => undefined)
  return await readSaveImage((offset, length) =>
    file ? readAt(file, offset, length) : Promise.resolve(Buffer.alloc(0)),
  )
}

/**
 * Calls `use` with a path from which a save image with another header can be read: a FIFO that gets that header, and
 * then the stream of the file through the filters. Nothing is copied on disk, and any number of domains can be loaded
 * from one file at the same time.
 * @param times how often the header comes before the stream: as often as the reader opens the path to read the header
 * @param fifo path at which the FIFO is made; it is removed afterwards
 * @param onSummary is told what a filter found in the stream
 */
export async function withHeader<T>(
  path: string,
  image: Pick<SaveImage, 'streamOffset' | 'format'>,
  filters: readonly Filter[],
  header: SaveImageHeader,
  times: number,
  fifo: string,
  use: (path: string) => Promise<T>,
  onSummary: (summary: Summary) => void = () => {},
): Promise<T> {
  await rm(fifo, { force: true })
  await runProgram('mkfifo', ['-m', '600', fifo])
  try {
    // Opened for reading and writing, so that opening does not wait for a reader. A FIFO holds at least 4 KiB, mostly
    // 64, so the child that writes the stream, and may wait, also writes the header. The child has the reader's end as
    // well: without a reader, nothing ends it except us, in `finally` or by our own end.
    await using end = await open(fifo, constants.O_RDWR)
    const feeder = spawn(
      'setpriv',
      ['--pdeathsig', 'KILL', ...script(path, image, filters, (commands) => `cat && ${commands}`)],
      {
        stdio: ['pipe', end.fd, 'pipe'],
      },
    )
    feeder.on('error', () => {})
    feeder.stdin!.on('error', () => {})
    feeder.stdin!.end(Buffer.concat(Array.from({ length: times }, () => writeSaveImage(header))))
    createInterface({ input: feeder.stderr! }).on('line', (line) => {
      const summary = parseSummary(line)
      if (summary) onSummary(summary)
    })
    await end.close()
    try {
      const result = await use(fifo)
      // The child has written everything, and may be about to print its summary.
      setTimeout(() => feeder.kill('SIGKILL'), endMs).unref()
      return result
    } catch (error) {
      feeder.kill('SIGKILL')
      if (feeder.exitCode !== notFound) throw error
      throw new CroftError('unavailable', 'Saved memory can’t be read: zstd is not installed.', {
        hint: 'apt install zstd',
        cause: error,
      })
    }
  } finally {
    await rm(fifo, { force: true })
  }
}

const endMs = 1_000
/** A shell's exit code for a program that it does not find. */
const notFound = 127

/**
 * Returns the command line of a shell that writes the stream of an image through filters. Words that are not ours are
 * arguments of the script, never part of it.
 * @param around makes the whole script of those commands; `last` are its last arguments
 */
function script(
  path: string,
  { streamOffset, format }: Pick<SaveImage, 'streamOffset' | 'format'>,
  filters: readonly Filter[],
  around: (commands: string) => string,
  last: readonly string[] = [],
): string[] {
  const program = join(import.meta.dirname, 'filter-stream.ts')
  const words = [path, String(streamOffset), process.execPath, program]
  const filterCommands = filters.map((filter) => {
    const at = words.push(...filter) - filter.length
    return `"$3" "$4" ${filter.map((_, i) => `"\${${at + i + 1}}"`).join(' ')}`
  })
  const [first, ...more] = [...(format === 'zstd' ? ['zstd -dcq'] : []), ...filterCommands].map(endsWithParent)
  const commands = first
    ? [`{ dd bs="$2" count=1 of=/dev/null status=none && ${first}; } < "$1"`, ...more].join(' | ')
    : 'exec dd if="$1" iflag=skip_bytes skip="$2" bs=1M status=none'
  return ['bash', '-o', 'pipefail', '-c', around(commands), 'bash', ...words, ...last]
}

/** A part of a pipeline that does not outlive the shell that runs it. */
const endsWithParent = (command: string): string => `exec setpriv --pdeathsig KILL ${command}`

/** Parses the summary that the program prints; undefined for any other line, and for an incomplete one. */
function parseSummary(line: string): Summary | undefined {
  try {
    return line.startsWith('{') ? (JSON.parse(line) as Summary) : undefined
  } catch {
    return undefined
  }
}

/**
 * Writes a copy of a save image whose stream has gone through filters, at idle priority if it is compressed or
 * a base is made of it.
 * @param storage how the copy is stored. If a filter can't parse the stream to its end, the copy says that it has pages
 * of zeroes, whatever is given here
 * @param signal aborts it; the caller must remove what has been written so far
 * @returns what the last filter found in the stream
 * @throws CroftError `disk-full`, `cancelled`, `memory-unusable`, `program-failed`
 */
export async function rewrite(
  path: string,
  to: string,
  filters: readonly Filter[],
  storage: Storage,
  signal: AbortSignal,
): Promise<Summary> {
  const image = await openSaveImage(path)
  await using file = await open(path, 'r')
  const head = await readAt(file, 0, image.streamOffset)
  await writeFile(to, inFormat(head, { ...storage, hasZeroPages: true }), { mode: 0o600 })
  const isSmall = storage.format === 'zstd'
  const isIdle = isSmall || filters.some(([name]) => name === 'extract')
  const idly = isIdle ? ['nice', '-n', '19', 'ionice', '-c', '3'] : []
  const target = `${isSmall ? `| ${endsWithParent('zstd -1 -cq')}` : ''} >> "\${!#}"`
  const words = script(path, image, filters, (commands) => `${commands} ${target}`, [to])
  const options = { timeoutMs: 60 * 60_000, signal }
  const { stderr } = await runProgram('setpriv', ['--pdeathsig', 'KILL', ...idly, ...words], options)
  const summary = stderr
    .split('\n')
    .map(parseSummary)
    .findLast((found) => found !== undefined)
  if (!summary) throw new CroftError('program-failed', 'Saved memory was copied, but the program printed no summary.')
  if (summary.unknown === undefined && !storage.hasZeroPages) {
    await using made = await open(to, 'r+')
    const marked = inFormat(head, storage)
    await made.write(marked, 0, marked.length, 0)
  }
  return summary
}

async function readAt(file: FileHandle, offset: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, offset)
  return buffer.subarray(0, bytesRead)
}
