import { watch } from 'node:fs'
import { open } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { StringDecoder } from 'node:string_decoder'

/**
 * Passes on all that is appended to a file from now on, until the signal. Waits for each promise of `onText` before it
 * reads on. Follows the name across rotation: a file that has become smaller, or another one, is read from its
 * beginning.
 */
export async function followFile(
  path: string,
  onText: (text: string) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  let decoder = new StringDecoder('utf8')
  let inode: number | undefined
  let position = 0

  async function readOn(first: boolean): Promise<void> {
    const file = await open(path, 'r').catch(() => undefined)
    if (!file) return
    try {
      const { ino, size } = await file.stat()
      if (first) position = size
      else if (ino !== inode || size < position) {
        position = 0
        decoder = new StringDecoder('utf8')
      }
      inode = ino
      const buffer = Buffer.alloc(64 * 1024)
      while (!signal.aborted) {
        const { bytesRead } = await file.read(buffer, 0, buffer.length, position)
        if (bytesRead === 0) return
        position += bytesRead
        await onText(decoder.write(buffer.subarray(0, bytesRead)))
      }
    } finally {
      await file.close()
    }
  }

  await readOn(true)
  let reading: Promise<void> = Promise.resolve()
  let waiting = false
  const watcher = watch(dirname(path), (_, name) => {
    if (name !== basename(path) || waiting) return
    waiting = true
    reading = reading.then(() => {
      waiting = false
      return readOn(false).catch(() => {})
    })
  })
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve()
    signal.addEventListener('abort', () => resolve(), { once: true })
    watcher.once('error', () => resolve())
  })
  watcher.close()
  await reading
}
