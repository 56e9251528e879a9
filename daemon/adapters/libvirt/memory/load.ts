import { spawn } from 'node:child_process'
import { constants } from 'node:fs'
import { type FileHandle, open, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { CroftError } from '../../../lib/error.ts'
import { runProgram } from '../../../lib/process/run.ts'
import {
  type Format,
  inFormat,
  readSaveImage,
  type SaveImage,
  type SaveImageHeader,
  writeSaveImage,
} from './save-image.ts'
import type { Summary } from './zero-pages.ts'

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
 * then the stream of the file as QEMU wrote it, without pages of zeroes. Nothing is copied on disk, and any number of
 * domains can be loaded from one file at the same time.
 * @param times how often the header comes before the stream: as often as the reader opens the path to read the header
 * @param fifo path at which the FIFO is made; it is removed afterwards
 * @param onSummary is told what was found in a stream that may have pages of zeroes
 */
export async function withHeader<T>(
  path: string,
  image: Pick<SaveImage, 'streamOffset' | 'format' | 'hasZeroPages'>,
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
    const feeder = spawn('setpriv', ['--pdeathsig', 'KILL', ...script(`cat && ${feed(image)}`, path, image)], {
      stdio: ['pipe', end.fd, 'pipe'],
    })
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

/** A shell command for `script` that skips the part of the file on standard input before the stream. */
const skip = 'dd bs="$2" count=1 of=/dev/null status=none'
const dropZeroPages = 'exec "$3" "$4"'

/**
 * Returns shell commands that write a stream as it is to be loaded. A stream that was compressed by an older Croft may
 * still have its pages of zeroes.
 */
function feed({ format, hasZeroPages }: Pick<SaveImage, 'format' | 'hasZeroPages'>): string {
  if (format === 'zstd') return `{ ${skip} && exec zstd -dcq; } < "$1"`
  if (hasZeroPages) return `{ ${skip} && ${dropZeroPages}; } < "$1"`
  return 'exec dd if="$1" iflag=skip_bytes skip="$2" bs=1M status=none'
}

/** Returns the command line of a shell that runs such commands. */
function script(commands: string, path: string, { streamOffset }: Pick<SaveImage, 'streamOffset'>): string[] {
  const program = join(import.meta.dirname, 'drop-zero-pages.ts')
  return ['bash', '-o', 'pipefail', '-c', commands, 'bash', path, String(streamOffset), process.execPath, program]
}

/** Parses the summary that the program prints; undefined for any other line, and for an incomplete one. */
function parseSummary(line: string): Summary | undefined {
  try {
    return line.startsWith('{') ? (JSON.parse(line) as Summary) : undefined
  } catch {
    return undefined
  }
}

/**
 * Writes a copy of a save image that leaves out pages of zeroes, and is compressed if `format` says so. Compression
 * runs at idle priority.
 * @param signal aborts it; the caller must remove what has been written so far
 * @returns what was found in the stream @throws CroftError `disk-full`, `cancelled`, `memory-unusable`
 */
export async function rewrite(path: string, to: string, format: Format, signal: AbortSignal): Promise<Summary> {
  const image = await openSaveImage(path)
  if (image.format !== 'raw') throw new RangeError('only memory as QEMU wrote it is rewritten')
  await using file = await open(path, 'r')
  const head = await readAt(file, 0, image.streamOffset)
  await writeFile(to, inFormat(head, { format, hasZeroPages: true }), { mode: 0o600 })
  const idly = format === 'zstd' ? ['nice', '-n', '19', 'ionice', '-c', '3'] : []
  const target = format === 'zstd' ? '| zstd -1 -cq >> "$5"' : '>> "$5"'
  const words = script(`{ ${skip} && ${dropZeroPages}; } < "$1" ${target}`, path, image)
  const options = { timeoutMs: 60 * 60_000, signal }
  const { stderr } = await runProgram('setpriv', ['--pdeathsig', 'KILL', ...idly, ...words, to], options)
  const summary = stderr
    .split('\n')
    .map(parseSummary)
    .find((found) => found !== undefined)
  if (!summary) throw new CroftError('program-failed', 'Saved memory was copied, but the program printed no summary.')
  if (summary.unknown === undefined) {
    await using made = await open(to, 'r+')
    const marked = inFormat(head, { format, hasZeroPages: false })
    await made.write(marked, 0, marked.length, 0)
  }
  return summary
}

async function readAt(file: FileHandle, offset: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, offset)
  return buffer.subarray(0, bytesRead)
}
