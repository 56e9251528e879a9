/**
 * A program that copies a migration stream from standard input to standard output without its pages of zeroes, and
 * prints a summary to standard error as a line of JSON. It is a process of its own because a VM's memory may have many
 * gigabytes. It can be killed at any time without harm.
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
