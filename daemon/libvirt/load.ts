import { spawn } from 'node:child_process'
import { constants } from 'node:fs'
import { type FileHandle, open, rm, writeFile } from 'node:fs/promises'
import { CroftError } from '../error.ts'
import { run } from '../host/run.ts'
import {
  type Format,
  inFormat,
  readSaveImage,
  type SaveImage,
  type SaveImageHeader,
  writeSaveImage,
} from './save-image.ts'

/** @throws CroftError `memory-unusable`, also when there is no such file */
export async function openSaveImage(path: string): Promise<SaveImage> {
  await using file = await open(path, 'r').catch(() => undefined)
  return await readSaveImage((offset, length) =>
    file ? readAt(file, offset, length) : Promise.resolve(Buffer.alloc(0)),
  )
}

/**
 * Lends `use` a path to read a save image from that has another header: a FIFO, into which comes that header and then
 * the stream of the file, as QEMU wrote it. Nothing is copied on disk, and any number of domains can be loaded from one
 * file at once.
 * @param times how often the header comes before the stream: as often as the reader opens the path to read it
 * @param fifo where to make it; it is gone afterwards
 */
export async function withHeader<T>(
  path: string,
  { streamOffset, format }: Pick<SaveImage, 'streamOffset' | 'format'>,
  header: SaveImageHeader,
  times: number,
  fifo: string,
  use: (path: string) => Promise<T>,
): Promise<T> {
  await rm(fifo, { force: true })
  await run('mkfifo', ['-m', '600', fifo])
  try {
    // Open for both, so that opening waits for no reader. What a FIFO holds is at least 4 KiB, mostly 64: the header is
    // written by the same child as the stream, which may wait. It holds the reader's end too, so that nothing ends it when
    // nobody reads, but for us: `finally`, or our own end.
    await using end = await open(fifo, constants.O_RDWR)
    const words = ['--pdeathsig', 'KILL', 'sh', '-c', `cat && ${feed[format]}`, 'sh', path, String(streamOffset)]
    const feeder = spawn('setpriv', words, { stdio: ['pipe', end.fd, 'ignore'] })
    feeder.on('error', () => {})
    feeder.stdin?.on('error', () => {})
    feeder.stdin?.end(Buffer.concat(Array.from({ length: times }, () => writeSaveImage(header))))
    await end.close()
    try {
      return await use(fifo)
    } catch (error) {
      if (feeder.exitCode !== notFound) throw error
      throw new CroftError('unavailable', 'Saved memory can’t be read: zstd is not installed.', {
        hint: 'apt install zstd',
        cause: error,
      })
    } finally {
      feeder.kill('SIGKILL')
    }
  } finally {
    await rm(fifo, { force: true })
  }
}

/** Shell commands that write the stream of the file "$1", which begins there at byte "$2". */
const feed: Record<Format, string> = {
  raw: 'exec dd if="$1" iflag=skip_bytes skip="$2" bs=1M status=none',
  zstd: '{ dd bs="$2" count=1 of=/dev/null status=none && exec zstd -dcq; } < "$1"',
}
/** How a shell says that there is no such program. */
const notFound = 127

/**
 * Writes a save image's copy whose stream is compressed; nobody waits for it, and it takes what others leave.
 * @param wanted ends it: what it has written so far is the caller's to remove @throws CroftError `disk-full`, `cancelled`
 */
export async function compress(path: string, to: string, wanted: AbortSignal): Promise<void> {
  const { streamOffset } = await openSaveImage(path)
  await using file = await open(path, 'r')
  await writeFile(to, inFormat(await readAt(file, 0, streamOffset), 'zstd'), { mode: 0o600 })
  const script = '{ dd bs="$2" count=1 of=/dev/null status=none && exec zstd -1 -cq >> "$3"; } < "$1"'
  const idly = ['--pdeathsig', 'KILL', 'nice', '-n', '19', 'ionice', '-c', '3']
  const words = [...idly, 'sh', '-c', script, 'sh', path, String(streamOffset), to]
  await run('setpriv', words, { timeoutMs: 60 * 60_000, signal: wanted })
}

async function readAt(file: FileHandle, offset: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, offset)
  return buffer.subarray(0, bytesRead)
}
