/**
 * A program: copies a migration stream from standard input to standard output without its pages of zeroes, and says on
 * standard error, as a line of JSON, what it did. A process of its own, as a VM's memory may be many gigabytes, and one
 * that is killed at any time without harm.
 */
import { readSync, writeSync } from 'node:fs'
import { flushCompileCache } from 'node:module'
import { dropZeroPages } from './zero-pages.ts'

const buffer = Buffer.allocUnsafe(2 ** 20)

const summary = dropZeroPages(
  () => {
    const bytes = readSync(0, buffer)
    return bytes ? buffer.subarray(0, bytes) : undefined
  },
  (part) => {
    for (let at = 0; at < part.length; ) at += writeSync(1, part, at)
  },
)
writeSync(2, `${JSON.stringify(summary)}\n`)
flushCompileCache()
